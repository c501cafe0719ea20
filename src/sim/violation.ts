/** The system broke a promise. */
export class Violation extends Error {
  /** Which promise: the name of a check. */
  readonly check: string

  constructor(check: string, detail: string, cause?: unknown) {
    super(`${check}: ${detail}`, cause === undefined ? undefined : { cause })
    this.name = 'Violation'
    this.check = check
  }
}

/** @throws Violation unless `holds` */
export function demand(holds: boolean, check: string, detail: () => string): void {
  if (!holds) throw new Violation(check, detail())
}
