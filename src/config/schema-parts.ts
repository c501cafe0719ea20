/** What the schemas of the configuration are built from: one parser for each kind of value. */
import { z } from 'zod'
import { parseByteSize } from '../base/byte-size.ts'
import { parseDuration } from '../base/duration.ts'
import { type ConfigKey, specOf } from './config-keys.ts'
import { formatDurationValue, formatSizeValue } from './format-value.ts'
import { isPemText } from './pem-text.ts'
import { hashedTokenPattern } from './tokens.ts'

/** Text that `parse` understands; undefined from it means "not `expected`". */
export function textAs<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string({ error: `must be ${expected}` }).transform((text, context) => {
    const value = parse(text.trim())
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: `must be ${expected}` })
    return z.NEVER
  })
}

export function oneOf<const T extends string>(...words: readonly [T, ...T[]]) {
  return textAs(`one of ${words.join(', ')}`, (text) => words.find((word) => word === text))
}

function rangeOf(key: ConfigKey): readonly [number, number] {
  return specOf(key).range ?? [0, Number.MAX_SAFE_INTEGER]
}

export function within(value: number | undefined, [low, high]: readonly [number, number]) {
  return value !== undefined && value >= low && value <= high ? value : undefined
}

export function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

export function count(key: ConfigKey) {
  const range = rangeOf(key)
  return textAs(`a whole number from ${range[0]} to ${range[1]}`, (text) =>
    within(wholeNumber(text), range),
  )
}

/** A count that can be switched off for one of many: null then. */
export function limit(key: ConfigKey) {
  const range = rangeOf(key)
  return textAs(`a whole number from ${range[0]} to ${range[1]}, or off`, (text) =>
    text === 'off' ? null : within(wholeNumber(text), range),
  )
}

export function size(key: ConfigKey) {
  const range = rangeOf(key)
  const limits =
    range[1] === Number.MAX_SAFE_INTEGER
      ? ''
      : ` from ${formatSizeValue(range[0])} to ${formatSizeValue(range[1])}`
  return textAs(`a size${limits}, such as 64MiB or 1TB`, (text) =>
    within(parseByteSize(text), range),
  )
}

export function duration(key: ConfigKey) {
  const range = rangeOf(key)
  const limits = `from ${formatDurationValue(range[0])} to ${formatDurationValue(range[1])}`
  return textAs(`a duration ${limits}, such as 500ms, 1s or 5m`, (text) =>
    within(parseDuration(text), range),
  )
}

const switchWords: ReadonlyMap<string, boolean> = new Map([
  ...['true', 'yes', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', '0'].map((word) => [word, false] as const),
])

export const onOff = () => textAs('true or false', (text) => switchWords.get(text.toLowerCase()))

export const path = () =>
  textAs('a path', (text) => (text === '' || text.includes('\0') ? undefined : text))

/** Certificates and keys are a few KiB; what is larger is something else. */
const pemLengthMax = 32_768

export const pem = () =>
  textAs('the path of a PEM file, or the text of one', (text) => {
    if (text === '' || text.includes('\0') || text.length > pemLengthMax) return undefined
    return isPemText(text) || !text.includes('\n') ? text : undefined
  })

export const host = () =>
  textAs('a host name or an IP address, without a port and without http://', (text) => {
    const bare = /^\[.*\]$/.test(text) ? text.slice(1, -1) : text
    return /^[a-z0-9._:%-]{1,255}$/i.test(bare) && !/^[^:]*:\d+$/.test(bare) ? bare : undefined
  })

/** An origin: what follows host and port would have no meaning here. */
export const url = () =>
  textAs('an address such as https://site-b.example.com or http://10.0.0.2:8080', (text) => {
    const parsed = URL.parse(text)
    if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) return undefined
    const bare = parsed.username === '' && parsed.password === '' && !/[?#]/.test(text)
    return bare && parsed.pathname === '/' ? parsed.origin : undefined
  })

const visible = /^[\x21-\x7e]{1,512}$/
export const tokenWords =
  'a token of 1 to 512 visible ASCII characters, such as comio token gen prints'

const token = () => textAs(tokenWords, (text) => (visible.test(text) ? text : undefined))

/** What fits into an Authorization header as it is. */
export const secret = () =>
  token().refine(
    (text) => !hashedTokenPattern.test(text),
    'must be the token itself: its hash opens nothing',
  )

/** The token itself, or `sha256:` and the hex digits of its hash. */
export const secretOrHash = () =>
  token().refine(
    (text) => !/^sha256:/i.test(text) || hashedTokenPattern.test(text),
    'must have 64 lower-case hex digits behind sha256:, as comio token gen --hash prints',
  )

export const transferMode = () => oneOf('auto', 'pull', 'push')

export const compressionMode = () => oneOf('auto', 'off')

/** Slower than this a link would stand still rather than move. */
const bandwidthMin = 1024

export const bandwidthLimit = () =>
  textAs('0 or a size of at least 1KiB, such as 10MiB', (text) => {
    const bytes = parseByteSize(text)
    return bytes === 0 ? 0 : within(bytes, [bandwidthMin, Number.MAX_SAFE_INTEGER])
  })
