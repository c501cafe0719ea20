/**
 * A bell for one waiting loop: a ring that comes while nobody waits is kept, so that a loop which
 * looks, finds nothing and then waits cannot miss what happened in between.
 */
export class Wakeup {
  #rung = false
  #resume: (() => void) | undefined

  ring(): void {
    const resume = this.#resume
    if (resume === undefined) {
      this.#rung = true
      return
    }
    this.#resume = undefined
    resume()
  }

  wait(): Promise<void> {
    if (this.#rung) {
      this.#rung = false
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      const previous = this.#resume
      this.#resume =
        previous === undefined
          ? resolve
          : () => {
              previous()
              resolve()
            }
    })
  }
}
