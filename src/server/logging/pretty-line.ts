/** One log record for people: time, level, message, then the fields as `name=value`. */

const levelWords: Readonly<Record<string, readonly [word: string, colour: number]>> = {
  debug: ['debug', 90],
  info: ['info ', 32],
  warn: ['warn ', 33],
  error: ['ERROR', 31],
}

/** @param line a record as JSON; what is not JSON is passed on as it is */
export function formatPrettyLine(line: string, colours: boolean): string {
  const record = parseRecord(line)
  if (record === undefined) return line
  const paint = (text: string, colour: number): string =>
    colours ? `\u001b[${colour}m${text}\u001b[39m` : text
  const { time, level, msg, component, ...fields } = record
  const [word, colour] = levelWords[String(level)] ?? [String(level), 39]
  const clock = String(time).slice(11, 23)
  const where = component === undefined ? '' : `${paint(String(component), 36)}: `
  const rest = Object.entries(fields).map(
    ([name, value]) => ` ${paint(`${name}=`, 90)}${formatValue(value)}`,
  )
  return `${paint(clock, 90)} ${paint(word, colour)} ${where}${escapeControls(String(msg ?? ''))}${rest.join('')}\n`
}

function parseRecord(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    // Not a record: whoever wrote it meant it to be read as it is.
    return undefined
  }
}

/** Bare where it cannot be misread, else as JSON: control characters never reach a terminal. */
function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@%+,-]+$/.test(value)) return value
  return escapeControls(JSON.stringify(value) ?? 'undefined')
}

function escapeControls(text: string): string {
  // JSON escapes C0 already; terminals listen to C1 and DEL as well.
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (letter) => {
    return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
