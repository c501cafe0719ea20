import { S3Error } from './errors.ts'

/** Tells this form of token from later ones. */
const marker = 1
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Where a listing goes on, opaque to the client. */
export function encodeContinuationToken(after: string): string {
  return Buffer.concat([Buffer.of(marker), Buffer.from(after)]).toString('base64url')
}

/** @throws S3Error InvalidArgument for anything that this did not encode */
export function decodeContinuationToken(token: string): string {
  const bytes = Buffer.from(token, 'base64url')
  try {
    if (bytes[0] === marker && bytes.length > 1 && bytes.toString('base64url') === token) {
      return strictUtf8.decode(bytes.subarray(1))
    }
  } catch (cause) {
    throw invalidToken(cause)
  }
  throw invalidToken(undefined)
}

function invalidToken(cause: unknown): S3Error {
  return new S3Error('InvalidArgument', {
    message: 'The continuation token is not one that a listing here has given.',
    cause,
  })
}
