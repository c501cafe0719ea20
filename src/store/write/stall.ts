/**
 * A time in which the index cannot be written. What is in the log goes on waiting for it; those who asked
 * for a write are told at once, and whoever comes meanwhile is refused.
 */
import type { ComioError } from '../../base/errors.ts'

export class Stall {
  #reason: ComioError | undefined
  readonly #waiting = new Set<(reason: ComioError) => void>()
  /** Those who were told, while what they waited for is open still. */
  #told = 0
  #settled: PromiseWithResolvers<void> | undefined

  /** Why nothing is taken at the moment. */
  get reason(): ComioError | undefined {
    return this.#reason
  }

  begin(reason: ComioError): void {
    this.#reason = reason
    for (const tell of [...this.#waiting]) tell(reason)
  }

  end(): void {
    this.#reason = undefined
    this.#look()
  }

  /**
   * Resolves when it is over and what anybody was told of has succeeded or failed; undefined in the
   * usual case.
   */
  get settled(): Promise<void> | undefined {
    if (this.#isSettled) return undefined
    this.#settled ??= Promise.withResolvers()
    return this.#settled.promise
  }

  /**
   * As `done`, but rejects as soon as there is a stall. What has not failed then may still succeed.
   *
   * @param late gets what `done` resolves to when nobody waits for it any more
   */
  answered<T>(done: Promise<T>, late?: (value: T) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const tell = (reason: ComioError): void => {
        this.#waiting.delete(tell)
        reject(reason)
        this.#told++
        done.then(late, () => undefined).finally(() => this.#toldSettled())
      }
      if (this.#reason !== undefined) return tell(this.#reason)
      this.#waiting.add(tell)
      const settle = (then: () => void) => {
        this.#waiting.delete(tell)
        then()
      }
      done.then(
        (value) => settle(() => resolve(value)),
        (thrown: unknown) => settle(() => reject(thrown)),
      )
    })
  }

  get #isSettled(): boolean {
    return this.#reason === undefined && this.#told === 0
  }

  #toldSettled(): void {
    this.#told--
    this.#look()
  }

  #look(): void {
    if (!this.#isSettled) return
    this.#settled?.resolve()
    this.#settled = undefined
  }
}
