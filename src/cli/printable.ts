/**
 * Text from elsewhere (keys, reasons, names) for a terminal: control characters, which could move
 * the cursor or hide what follows, become visible.
 */
export function printable(text: string): string {
  return text.replaceAll(unprintable, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u{${code.toString(16)}}`
  })
}

/** JSON on one line in which such characters are escaped: it parses to the same value. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(unprintable, (character) =>
    Array.from({ length: character.length }, (_, at) => {
      return `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`
    }).join(''),
  )
}

const unprintable = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\u2028\u2029]/gu
