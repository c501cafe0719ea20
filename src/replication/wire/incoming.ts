import { MalformedBytesError } from '../../base/byte-reader.ts'
import { decodeMutation, type Mutation } from '../../store/model/mutation.ts'
import { keyBytesMax } from '../../store/model/names.ts'
import type { IncomingBody, IncomingChange } from '../../store/model/object-store.ts'
import type { ReceivedFrame } from './passing-batch.ts'

const bucketBytesMax = 255

/**
 * A frame as the store takes it. Checks that the pieces belong together; whether the change may be
 * applied is the store's to say.
 *
 * @throws MalformedBytesError
 */
export function incomingOf(frame: ReceivedFrame): IncomingChange {
  const { kind, label, head } = frame
  if (kind === undefined) throw new MalformedBytesError('this site knows no such kind of change')
  const mutation = decodeMutation({ kind, label, head })
  checkNames(mutation)
  return { mutation, body: bodyOf(frame, mutation) }
}

function checkNames({ slot }: Mutation): void {
  const bucketBytes = Buffer.byteLength(slot.bucket)
  if (bucketBytes === 0 || bucketBytes > bucketBytesMax) {
    throw new MalformedBytesError(`a bucket name has ${bucketBytes} bytes`)
  }
  if (slot.kind !== 'object') return
  const keyBytes = Buffer.byteLength(slot.key)
  if (keyBytes === 0 || keyBytes > keyBytesMax) {
    throw new MalformedBytesError(`a key has ${keyBytes} bytes, 1 to ${keyBytesMax} may be`)
  }
}

function bodyOf({ body }: ReceivedFrame, mutation: Mutation): IncomingBody {
  if (mutation.kind !== 'put') {
    if (body.kind === 'none') return body
    throw new MalformedBytesError(`a ${mutation.kind} comes with a body`)
  }
  if (body.kind === 'none') throw new MalformedBytesError('a put comes without a body')
  const length = body.kind === 'inline' ? body.bytes.length : body.length
  if (length !== mutation.meta.size) {
    throw new MalformedBytesError(`a put of ${mutation.meta.size} bytes comes with ${length}`)
  }
  if (body.kind === 'inline') return { kind: 'inline', bytes: body.bytes }
  return body.kind === 'passing' ? body : { kind: 'offered' }
}
