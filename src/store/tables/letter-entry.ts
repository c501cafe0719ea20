/** Dead letters: a change that a remote refused for good, in the log and in the index. */
import type { ByteReader } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import type { Location } from '../../volume/volume.ts'
import { decodeLabel, encodeLabel } from '../model/mutation.ts'
import type { DeadLetter } from '../model/object-store.ts'
import { decodeLocation, encodeLocation, entryReader } from './slot-entry.ts'

export interface LetterEntry {
  readonly letter: DeadLetter
  readonly location: Location
}

export function encodeLetterEntry(entry: LetterEntry): Buffer {
  const writer = new ByteWriter(192).u8(1)
  encodeLocation(writer, entry.location)
  writer.bytes(encodeLabel(entry.letter.slot, entry.letter.version))
  encodeLetterFields(writer, entry.letter)
  return writer.finish()
}

export function decodeLetterEntry(bytes: Uint8Array): LetterEntry {
  const reader = entryReader(bytes)
  const location = decodeLocation(reader)
  const label = reader.bytes()
  const letter = decodeLetterFields(reader, label)
  reader.end()
  return { letter, location }
}

export function encodeLetterFields(writer: ByteWriter, letter: DeadLetter): void {
  writer.u64(letter.seq).varint(letter.bytes).text(letter.reason)
  writer.varint(letter.attempts).u64(letter.time)
}

export function decodeLetterFields(reader: ByteReader, label: Uint8Array): DeadLetter {
  const { slot, version } = decodeLabel(label)
  const seq = reader.u64()
  const bytes = reader.varint()
  const reason = reader.text()
  const attempts = reader.varint()
  return { seq, slot, version, bytes, reason, attempts, time: reader.u64() }
}
