/** HTTP dates (RFC 9110, 5.6.7): written in the one preferred form, read in all three. */

const cacheEntriesMax = 1024
const formatted = new Map<number, string>()

/** `Sun, 06 Nov 1994 08:49:37 GMT`. Cached, because hot objects are asked for again and again. */
export function formatHttpDate(ms: number): string {
  const second = Math.floor(ms / 1000)
  let text = formatted.get(second)
  if (text === undefined) {
    if (formatted.size >= cacheEntriesMax) formatted.clear()
    text = new Date(second * 1000).toUTCString()
    formatted.set(second, text)
  }
  return text
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const time = '(?<hour>\\d{2}):(?<minute>\\d{2}):(?<second>\\d{2})'
const forms = [
  new RegExp(`^[A-Z][a-z]{2}, (?<day>\\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${time} GMT$`),
  new RegExp(
    `^[A-Z][a-z]{5,8}, (?<day>\\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\\d{2}) ${time} GMT$`,
  ),
  new RegExp(`^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) ${time} (?<year>\\d{4})$`),
]

/** Milliseconds since 1970, whole seconds; undefined when `text` is no HTTP date. */
export function parseHttpDate(text: string): number | undefined {
  for (const form of forms) {
    const groups = form.exec(text)?.groups
    if (groups !== undefined) return toMilliseconds(groups)
  }
  return undefined
}

function toMilliseconds(groups: Readonly<Record<string, string>>): number | undefined {
  const month = months.indexOf(groups.month ?? '')
  const [day, hour, minute, second] = [groups.day, groups.hour, groups.minute, groups.second].map(
    Number,
  ) as [number, number, number, number]
  // 60 is a leap second. A day that the month does not have would silently become another one.
  if (month === -1 || hour > 23 || minute > 59 || second > 60) return undefined
  const ms = Date.UTC(fullYear(groups.year ?? ''), month, day, hour, minute, second)
  return day >= 1 && new Date(ms - second * 1000).getUTCDate() === day ? ms : undefined
}

/** Two digits (RFC 850) lie between 1970 and 2069. */
function fullYear(digits: string): number {
  const year = Number(digits)
  if (digits.length === 4) return year
  return year < 70 ? 2000 + year : 1900 + year
}
