/**
 * Takes out of a text from elsewhere whatever may be a secret: a remote, or a proxy in front of it,
 * may repeat what it was sent, and what it says is shown, logged and kept in dead letters.
 */

const hidden = '[hidden]'
const bearerPattern = /\bBearer[\s:=]+\S+/gi
/** Hex and base64url of 24 bytes and more: tokens, keys, tickets. Long ids go with them. */
const longRunPattern = /[A-Za-z0-9_-]{32,}/g

/** @param token this site's own credential there, hidden whatever it looks like */
export function hideSecrets(text: string, token = ''): string {
  const withoutToken = token === '' ? text : text.replaceAll(token, hidden)
  return withoutToken
    .replaceAll(bearerPattern, `Bearer ${hidden}`)
    .replaceAll(longRunPattern, hidden)
}
