/**
 * The superblock: who the volume is, and which segments it must have. It is rewritten whenever a
 * segment is freed, before the segment goes, and after one was begun, so that a missing segment is
 * known to be either freed or lost, and a generation is never given twice.
 */
import { assert } from '../../base/assert.ts'
import { checksum } from '../../base/checksum.ts'
import { CorruptSuperblockError, FormatTooNewError } from './errors.ts'
import { blockBytes, formatVersion, limitsOf, segmentBytesMax, segmentBytesMin } from './limits.ts'
import { readU64, writeU64 } from './numbers.ts'
import type { SegmentUse } from './record.ts'
import type { SegmentCensus } from './segment-census.ts'
import type { Stream, VolumeIdentity } from './volume-status.ts'

export interface Superblock {
  readonly identity: VolumeIdentity
  readonly segmentBytes: number
  /** The highest generation given out when this was written; the census covers all up to it. */
  readonly highestGeneration: number
  readonly census: Readonly<Record<Stream, SegmentCensus>>
  /** The segment whose removal was decided with this superblock and may not have happened yet. */
  readonly freed: SegmentUse | undefined
  /** Where the log ended when the volume was closed; undefined while it is, or may have been, in use. */
  readonly logEnd: LogEnd | undefined
  /** One more than the slot of any segment in the census. */
  readonly slotsEnd: number
  /** The newest segments of the census by name, as many as there is room for. */
  readonly register: readonly RegisteredSegment[]
}

export interface LogEnd {
  readonly generation: number
  readonly offset: number
}

export interface RegisteredSegment extends SegmentUse {
  readonly stream: Stream
}

const magic = Buffer.from('COMIOVOL', 'latin1')
const checksumAt = blockBytes - 4
const siteIdBytesMax = 32
const noSegment = 0xffffffff
const registerAt = 128
const registerEntryBytes = 8
/** Of a register entry's first field: the stream; the slot is below it. */
const bulkFlag = 0x80000000
export const registerEntriesMax = Math.floor((checksumAt - registerAt) / registerEntryBytes)

export function encodeSuperblock(superblock: Superblock): Buffer {
  const { identity, census, freed } = superblock
  const site = Buffer.from(identity.siteId)
  assert(site.length > 0 && site.length <= siteIdBytesMax, 'a site id of 1 to 32 bytes')
  const bytes = Buffer.alloc(blockBytes)
  bytes.set(magic)
  bytes.writeUInt16LE(formatVersion, 8)
  bytes.writeUInt32LE(superblock.segmentBytes, 12)
  bytes.write(identity.volumeId, 16, 16, 'hex')
  bytes.write(identity.incarnation, 32, 8, 'hex')
  writeU64(bytes, identity.incarnationSince, 40)
  bytes[48] = site.length
  bytes.set(site, 49)
  bytes.writeUInt32LE(superblock.highestGeneration, 84)
  bytes.writeUInt32LE(census.log.count, 88)
  bytes.writeUInt32LE(census.log.digest, 92)
  bytes.writeUInt32LE(census.bulk.count, 96)
  bytes.writeUInt32LE(census.bulk.digest, 100)
  bytes.writeUInt32LE(freed?.segment ?? noSegment, 104)
  bytes.writeUInt32LE(freed?.generation ?? 0, 108)
  bytes.writeUInt32LE(superblock.logEnd?.generation ?? 0, 112)
  bytes.writeUInt32LE(superblock.logEnd?.offset ?? 0, 116)
  bytes.writeUInt32LE(superblock.slotsEnd, 120)
  encodeRegister(bytes, superblock.register)
  bytes.writeUInt32LE(checksum(bytes.subarray(0, checksumAt)), checksumAt)
  return bytes
}

/**
 * @param device its name, for messages
 * @throws FormatTooNewError, CorruptSuperblockError
 */
export function decodeSuperblock(source: Uint8Array, device: string): Superblock {
  const bytes = Buffer.from(source.buffer, source.byteOffset, source.byteLength)
  if (bytes.length < blockBytes || !bytes.subarray(0, magic.length).equals(magic)) {
    throw new CorruptSuperblockError(device, 'it does not begin as one')
  }
  const version = bytes.readUInt16LE(8)
  if (version > formatVersion) throw new FormatTooNewError(device, version, formatVersion)
  if (bytes.readUInt32LE(checksumAt) !== checksum(bytes.subarray(0, checksumAt))) {
    throw new CorruptSuperblockError(device, 'its checksum does not match')
  }
  const segmentBytes = bytes.readUInt32LE(12)
  if (segmentBytes < segmentBytesMin || segmentBytes > segmentBytesMax) {
    throw new CorruptSuperblockError(device, `segments of ${segmentBytes} bytes`)
  }
  limitsOf(segmentBytes)
  return {
    identity: decodeIdentity(bytes),
    segmentBytes,
    highestGeneration: bytes.readUInt32LE(84),
    census: {
      log: { count: bytes.readUInt32LE(88), digest: bytes.readUInt32LE(92) },
      bulk: { count: bytes.readUInt32LE(96), digest: bytes.readUInt32LE(100) },
    },
    freed: decodeUse(bytes, 104),
    logEnd: decodeLogEnd(bytes),
    slotsEnd: bytes.readUInt32LE(120),
    register: decodeRegister(bytes),
  }
}

function encodeRegister(bytes: Buffer, register: readonly RegisteredSegment[]): void {
  assert(register.length <= registerEntriesMax, 'a register that fits into the superblock')
  bytes.writeUInt32LE(register.length, 124)
  for (const [index, { stream, segment, generation }] of register.entries()) {
    assert(segment < bulkFlag, 'a slot below the flag')
    const at = registerAt + index * registerEntryBytes
    bytes.writeUInt32LE(stream === 'bulk' ? segment + bulkFlag : segment, at)
    bytes.writeUInt32LE(generation, at + 4)
  }
}

function decodeRegister(bytes: Buffer): readonly RegisteredSegment[] {
  const count = Math.min(bytes.readUInt32LE(124), registerEntriesMax)
  return Array.from({ length: count }, (_, index) => {
    const at = registerAt + index * registerEntryBytes
    const slot = bytes.readUInt32LE(at)
    const stream = slot >= bulkFlag ? 'bulk' : 'log'
    return { stream, segment: slot % bulkFlag, generation: bytes.readUInt32LE(at + 4) }
  })
}

function decodeLogEnd(bytes: Buffer): LogEnd | undefined {
  const generation = bytes.readUInt32LE(112)
  return generation === 0 ? undefined : { generation, offset: bytes.readUInt32LE(116) }
}

function decodeIdentity(bytes: Buffer): VolumeIdentity {
  const siteLength = Math.min(bytes[48] ?? 0, siteIdBytesMax)
  return {
    volumeId: bytes.toString('hex', 16, 32),
    incarnation: bytes.toString('hex', 32, 40),
    incarnationSince: readU64(bytes, 40),
    siteId: bytes.toString('utf8', 49, 49 + siteLength),
  }
}

function decodeUse(bytes: Buffer, at: number): SegmentUse | undefined {
  const segment = bytes.readUInt32LE(at)
  return segment === noSegment ? undefined : { segment, generation: bytes.readUInt32LE(at + 4) }
}
