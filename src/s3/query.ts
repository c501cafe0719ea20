import { percentDecode } from './percent-codec.ts'

/** Decoded parameters; of a repeated one the first counts. */
export type Query = ReadonlyMap<string, string>

export const emptyQuery: Query = new Map()

/**
 * Parses what stands behind the `?`.
 * @throws S3Error InvalidURI
 */
export function parseQuery(text: string): Query {
  if (text === '') return emptyQuery
  const query = new Map<string, string>()
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    const name = decodeParameter(at === -1 ? pair : pair.slice(0, at))
    if (!query.has(name)) query.set(name, at === -1 ? '' : decodeParameter(pair.slice(at + 1)))
  }
  return query
}

function decodeParameter(text: string): string {
  return percentDecode(text.includes('+') ? text.replaceAll('+', ' ') : text)
}
