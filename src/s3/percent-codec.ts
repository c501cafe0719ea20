/** Percent-encoding of keys and query values: strict when reading, S3's form when writing. */
import { S3Error } from './errors.ts'

/**
 * The text that `encoded` stands for. (A request target is ASCII: node:http refuses anything else.)
 * @throws S3Error InvalidURI when the escapes are incomplete or the bytes are not UTF-8
 */
export function percentDecode(encoded: string): string {
  if (!encoded.includes('%')) return encoded
  try {
    return decodeURIComponent(encoded)
  } catch (cause) {
    throw new S3Error('InvalidURI', { cause })
  }
}

/** Everything but RFC 3986's unreserved characters and `/`, as `encoding-type=url` has it. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/%2F|[!'()*]/g, (found) =>
    found === '%2F' ? '/' : `%${found.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
