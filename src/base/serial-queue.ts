/** Runs asynchronous steps one after the other; a failed step does not stop the next. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(step: () => Promise<T>): Promise<T> {
    const result = this.#last.then(step, step)
    // The caller gets the failure from `result`; here it only marks the turn as over.
    this.#last = result.catch(() => undefined)
    return result
  }
}
