/**
 * Objects that this site lacks and another has. The data plane reads them through this seam, as it
 * reads its own; who has them, and how they are fetched, is replication's.
 */
import type { ObjectName, OpenObject } from './object-store.ts'

/** An object of another site, as it is read from there. Nothing of it is kept here. */
export interface ObjectElsewhere extends OpenObject {
  /** The id of the site that answers. */
  readonly site: string
}

export interface ObjectsElsewhere {
  /**
   * Asks the other sites; undefined when none of them has it, none can be asked, or what they have is
   * known to be deleted. `bytes` says whether the bytes are going to be read too.
   *
   * @throws BudgetExhaustedError when too many are being asked for
   */
  open(
    name: ObjectName,
    options: { readonly bytes: boolean; readonly signal: AbortSignal },
  ): Promise<ObjectElsewhere | undefined>
}

/** `gone`: another version is current by now. `mismatch`: these are not the object's bytes. */
export type MendResult = 'mended' | 'gone' | 'mismatch'

export interface ObjectMender {
  /**
   * Writes the bytes of exactly this version once more, under the seq that it has, in place of those
   * that are damaged. They are compared with the version's hash before they take their place.
   *
   * @throws StorageFullError; whatever `bytes` fails with
   */
  mend(
    name: ObjectName,
    version: OpenObject['info']['version'],
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<MendResult>
}
