/** Just enough XML for S3's answers: text is escaped, elements are concatenated. */

export const xmlDeclaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
export const s3Namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

// Control characters become numeric references, as S3 itself does, even those that XML 1.0 cannot
// carry in any form: a client that asks for encoding-type=url never meets them. White space is
// written as references too, because parsers normalise it.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be escaped
const special = /[&<>"'\u0000-\u001f\u007f\ufffe\uffff]/
const specials = new RegExp(special, 'g')

const named: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

export function escapeXml(text: string): string {
  if (!special.test(text)) return text
  return text.replace(
    specials,
    (found) => named[found] ?? `&#x${found.charCodeAt(0).toString(16).toUpperCase()};`,
  )
}

/** `<name>escaped text</name>` */
export function element(name: string, text: string | number | boolean): string {
  return `<${name}>${typeof text === 'string' ? escapeXml(text) : text}</${name}>`
}
