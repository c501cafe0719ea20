/**
 * What was opened, to be closed in reverse. A step that fails does not keep the others from closing:
 * the lock and the files of a site must be let go whatever happens above them.
 */
import type { Logger } from './log.ts'

interface Step {
  readonly name: string
  readonly close: () => Promise<void>
}

export class Teardown {
  readonly #steps: Step[] = []
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  add(name: string, close: () => Promise<void>): void {
    this.#steps.push({ name, close })
  }

  /** Closes what is open, last opened first. @throws the first failure, once all steps were taken */
  async run(): Promise<void> {
    const failures: unknown[] = []
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.close()
        this.#logger.debug({ step: step.name }, 'Closed')
      } catch (error) {
        failures.push(error)
        this.#logger.error({ step: step.name, error }, 'Closing failed')
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
