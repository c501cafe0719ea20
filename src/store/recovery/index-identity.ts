/** The index belongs to one volume in one incarnation; any other is moved aside and built anew. */
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Logger } from '../../base/log.ts'
import type { OrderedIndex } from '../../index/ordered-index.ts'
import type { VolumeIdentity } from '../../volume/volume.ts'
import { chunksUnplacedKey, identityKey } from '../tables/keys.ts'
import { entryReader } from '../tables/slot-entry.ts'

interface IndexOpener {
  readonly openIndex: (options: { readonly fresh: boolean }) => Promise<OrderedIndex>
  readonly logger: Logger
}

export async function openIndexFor(
  volume: VolumeIdentity,
  opener: IndexOpener,
): Promise<OrderedIndex> {
  const index = await opener.openIndex({ fresh: false })
  const stored = index.get(identityKey)
  if (stored !== undefined && describes(stored, volume)) return index
  if (stored === undefined && (await isEmpty(index))) {
    await claimIndex(index, volume)
    return index
  }
  opener.logger.warn(
    { volume_id: volume.volumeId },
    'The index belongs to another volume: it is moved aside and built anew from the log',
  )
  await index.close()
  const fresh = await opener.openIndex({ fresh: true })
  await claimIndex(fresh, volume)
  return fresh
}

/**
 * An empty index becomes the volume's. Where chunks were moved to is in no log: it is looked for once the
 * log has been replayed.
 */
export async function claimIndex(index: OrderedIndex, volume: VolumeIdentity): Promise<void> {
  await index.write([
    { type: 'put', key: identityKey, value: encodeIdentity(volume) },
    { type: 'put', key: chunksUnplacedKey, value: Buffer.of(1) },
  ])
}

async function isEmpty(index: OrderedIndex): Promise<boolean> {
  const cursor = index.iterate({ gte: Buffer.of(0), lt: Buffer.of(0xff) })
  try {
    return (await cursor.next(1)).length === 0
  } finally {
    await cursor.close()
  }
}

export type IndexOwner = 'nobody' | 'this volume' | 'another volume'

/** Whose view the index is. */
export function ownerOf(
  index: Pick<OrderedIndex, 'get'>,
  volume: Pick<VolumeIdentity, 'volumeId' | 'incarnation'>,
): IndexOwner {
  const stored = index.get(identityKey)
  if (stored === undefined) return 'nobody'
  return describes(stored, volume) ? 'this volume' : 'another volume'
}

function encodeIdentity(volume: VolumeIdentity): Buffer {
  return new ByteWriter(96).u8(1).text(volume.volumeId).text(volume.incarnation).finish()
}

function describes(
  stored: Buffer,
  volume: Pick<VolumeIdentity, 'volumeId' | 'incarnation'>,
): boolean {
  const reader = entryReader(stored)
  return reader.text() === volume.volumeId && reader.text() === volume.incarnation
}
