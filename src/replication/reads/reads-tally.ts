/** What is counted of reads across sites and of damaged bytes, since the process was started. */

/**
 * `served`: answered with another site's object. `absent`: those that were asked do not have it.
 * `deleted`: one has it, and it is known to be deleted. `unreachable`: none has it, and not all could
 * be asked. `refused`: too many at once. `cut`: begun, and broken off for the remote's sake.
 */
export const proxiedResults = [
  'served',
  'absent',
  'deleted',
  'unreachable',
  'refused',
  'cut',
] as const

export type ProxiedResult = (typeof proxiedResults)[number]

export class ReadsTally {
  readonly proxied = new Map<ProxiedResult, number>(proxiedResults.map((result) => [result, 0]))
  /** Of objects that were answered from another site. */
  proxiedBytes = 0
  /** Reads of clients that met damaged bytes here. */
  damagedReads = 0
  /** Of those, the ones that went on with bytes of another site. */
  rescuedReads = 0
  /** Objects whose damaged bytes were replaced, and those for which that was tried in vain. */
  mended = 0
  mendFailures = 0

  proxy(result: ProxiedResult): void {
    this.proxied.set(result, (this.proxied.get(result) ?? 0) + 1)
  }
}
