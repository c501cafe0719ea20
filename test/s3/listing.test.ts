import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { percentEncode } from '../../src/s3/percent-codec.ts'
import { startSite, type TestSite } from './start-site.ts'

const keys = [
  'a',
  'a/1',
  'a/2',
  'b/x/1',
  'b/y',
  'c d&<e>"\'',
  'control\x01\n',
  'grün',
  'z/',
  '\ud83d\ude00',
]

let site: TestSite
beforeAll(async () => {
  site = await startSite()
  for (const key of keys) await site.send('PUT', `/list/${percentEncode(key)}`, { body: key })
})
afterAll(() => site.close())

/** The text of each `<name>`; the escapes that occur here undone. */
function all(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, text = '']) =>
    text
      .replace(/&#x([0-9A-F]+);/g, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      )
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&quot;', '"')
      .replaceAll('&apos;', "'")
      .replaceAll('&amp;', '&'),
  )
}
const list = async (query: string): Promise<string> => {
  const answer = await site.send('GET', `/list${query}`)
  expect(answer.status).toBe(200)
  return answer.text
}

describe.each(['?list-type=2&', '?'])('listing with %s', (start) => {
  it('tells every key in the order of its bytes, with size, ETag and date', async () => {
    const xml = await list(start)
    expect(all(xml, 'Key')).toEqual(keys)
    expect(all(xml, 'Size')).toEqual(keys.map((key) => String(Buffer.byteLength(key))))
    expect(all(xml, 'ETag')[0]).toMatch(/^"[0-9a-f]{32}"$/)
    expect(all(xml, 'LastModified')[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(all(xml, 'IsTruncated')).toEqual(['false'])
    expect(all(xml, 'KeyCount')).toEqual([String(keys.length)])
  })

  it('groups by delimiter below a prefix', async () => {
    const top = await list(`${start}delimiter=/`)
    expect(all(top, 'Prefix')).toEqual(['', 'a/', 'b/', 'z/'])
    expect(all(top, 'Key')).toEqual(['a', 'c d&<e>"\'', 'control\x01\n', 'grün', '\ud83d\ude00'])
    const below = await list(`${start}delimiter=/&prefix=b/`)
    expect(all(below, 'Key')).toEqual(['b/y'])
    expect(all(below, 'Prefix')).toEqual(['b/', 'b/x/'])
  })

  it.each([1, 2, 3, 7])('pages by %i without gap or repetition', async (maxKeys) => {
    const seen: string[] = []
    let token = ''
    for (let page = 0; page <= keys.length; page++) {
      const xml = await list(`${start}max-keys=${maxKeys}&delimiter=/${token}`)
      seen.push(...all(xml, 'Key'), ...all(xml, 'Prefix').slice(1))
      expect(Number(all(xml, 'KeyCount')[0])).toBeLessThanOrEqual(maxKeys)
      const next = all(xml, 'NextContinuationToken')[0]
      expect(all(xml, 'IsTruncated')).toEqual([String(next !== undefined)])
      if (next === undefined) break
      token = `&continuation-token=${next}`
    }
    const expected = ['a', 'a/', 'b/', 'c d&<e>"\'', 'control\x01\n', 'grün', 'z/', '\ud83d\ude00']
    expect(seen.sort()).toEqual(expected.sort())
  })

  it('starts strictly after a key', async () => {
    expect(all(await list(`${start}start-after=b/x/1`), 'Key')[0]).toBe('b/y')
  })

  it('encodes names when asked to', async () => {
    const xml = await list(`${start}encoding-type=url&prefix=c`)
    expect(all(xml, 'Key')).toEqual(['c%20d%26%3Ce%3E%22%27', 'control%01%0A'])
    expect(all(xml, 'EncodingType')).toEqual(['url'])
  })
})

describe('listing', () => {
  it('in the old form goes on from a marker', async () => {
    const first = await list('?max-keys=3')
    expect(all(first, 'NextMarker')).toEqual(['a/2'])
    expect(all(await list('?max-keys=3&marker=a/2'), 'Key')[0]).toBe('b/x/1')
  })

  it('of no keys is empty and not truncated', async () => {
    const xml = await list('?list-type=2&max-keys=0')
    expect([all(xml, 'Key'), all(xml, 'IsTruncated'), all(xml, 'MaxKeys')]).toEqual([
      [],
      ['false'],
      ['0'],
    ])
    expect((await site.send('GET', '/none-such?max-keys=0')).status).toBe(404)
  })

  it('of more than 1000 keys at once tells 1000', async () => {
    expect(all(await list('?list-type=2&max-keys=5000'), 'MaxKeys')).toEqual(['1000'])
  })

  it.each([
    'max-keys=-1',
    'max-keys=x',
    'max-keys=1.5',
    'continuation-token=nonsense',
    'continuation-token=',
    'encoding-type=base64',
    `prefix=${'p'.repeat(1025)}`,
  ])('refuses %s', async (query) => {
    const answer = await site.send('GET', `/list?list-type=2&${query}`)
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('<Code>InvalidArgument</Code>')
  })

  it('decodes a plus in the query as a space', async () => {
    expect(all(await list('?prefix=c+d'), 'Key')).toEqual(['c d&<e>"\''])
  })
})
