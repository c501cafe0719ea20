/** The answer to a batch: what became of each change, and the low-water mark now stored. */
import { unreachable } from '../../base/assert.ts'
import { ByteReader, MalformedBytesError } from '../../base/byte-reader.ts'
import { ByteWriter } from '../../base/byte-writer.ts'
import { checksum } from '../../base/checksum.ts'
import { batchCountMax, withChecksum } from './batch-codec.ts'
import { hideSecrets } from './hide-secrets.ts'
import { type ChangeOutcome, protocolVersion } from './protocol.ts'

export interface BatchAnswer {
  /** The sender's low-water mark as the receiver has it stored now. */
  readonly through: number
  /** The highest seq of the receiver's own feed, with what this batch brought. */
  readonly head: number
  /** One for each change, in the batch's order. */
  readonly outcomes: readonly ChangeOutcome[]
}

const magic = Buffer.from('COMIORA1', 'latin1')
const textLengthMax = 1024
const tags = {
  applied: 0,
  duplicate: 1,
  superseded: 2,
  conflictWon: 3,
  conflictLost: 4,
  pulling: 5,
  need: 6,
  later: 7,
  refused: 8,
} as const

export function encodeAnswer(answer: BatchAnswer): Buffer {
  const writer = new ByteWriter(64 + answer.outcomes.length)
  writer.raw(magic).u16(protocolVersion).u64(answer.through).u64(answer.head)
  writer.u32(answer.outcomes.length)
  for (const outcome of answer.outcomes) encodeOutcome(writer, outcome)
  return withChecksum(writer.finish())
}

function encodeOutcome(writer: ByteWriter, outcome: ChangeOutcome): void {
  switch (outcome.result) {
    case 'applied':
    case 'duplicate':
    case 'superseded':
    case 'pulling':
    case 'need':
      writer.u8(tags[outcome.result])
      return
    case 'conflict':
      writer.u8(outcome.won ? tags.conflictWon : tags.conflictLost)
      return
    case 'later':
      writer.u8(tags.later).text(outcome.reason.slice(0, textLengthMax))
      return
    case 'refused':
      writer.u8(tags.refused).text(outcome.code.slice(0, textLengthMax))
      writer.text(outcome.message.slice(0, textLengthMax))
      return
    default:
      unreachable(outcome)
  }
}

/** @throws MalformedBytesError */
export function decodeAnswer(bytes: Uint8Array): BatchAnswer {
  const reader = new ByteReader(bytes)
  if (!reader.raw(magic.length).equals(magic)) throw new MalformedBytesError('this is no answer')
  const protocol = reader.u16()
  if (protocol !== protocolVersion) {
    throw new MalformedBytesError(`the answer has protocol ${protocol}, not ${protocolVersion}`)
  }
  const through = reader.u64()
  const head = reader.u64()
  const count = reader.u32()
  if (count > batchCountMax) throw new MalformedBytesError('the answer names too many changes')
  const outcomes: ChangeOutcome[] = []
  for (let i = 0; i < count; i++) outcomes.push(decodeOutcome(reader))
  const crc = checksum(bytes.subarray(0, reader.position))
  if (reader.u32() !== crc) throw new MalformedBytesError('the answer is damaged')
  reader.end()
  return { through, head, outcomes }
}

function decodeOutcome(reader: ByteReader): ChangeOutcome {
  const tag = reader.u8()
  switch (tag) {
    case tags.applied:
      return { result: 'applied' }
    case tags.duplicate:
      return { result: 'duplicate' }
    case tags.superseded:
      return { result: 'superseded' }
    case tags.conflictWon:
    case tags.conflictLost:
      return { result: 'conflict', won: tag === tags.conflictWon }
    case tags.pulling:
      return { result: 'pulling' }
    case tags.need:
      return { result: 'need' }
    case tags.later:
      return { result: 'later', reason: hideSecrets(reader.text()) }
    case tags.refused: {
      const code = hideSecrets(reader.text())
      return { result: 'refused', code, message: hideSecrets(reader.text()) }
    }
    default:
      throw new MalformedBytesError(`no outcome has tag ${tag}`)
  }
}
