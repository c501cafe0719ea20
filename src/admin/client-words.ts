/** What a site's refusals and a broken connection mean to the person at the command line. */
import { messageOf, systemCodeOf } from '../base/errors.ts'

/** How to show a token to a site that wants one: in the words of the command line, not of HTTP. */
export function accessHint(status: number, code: string, hasToken: boolean): string | undefined {
  // Of a token that was good once the site itself says what has become of it.
  if (status !== 401 || code.startsWith('TOKEN_')) return undefined
  return hasToken
    ? 'The site does not know this token: check --token-file, --token or COMIO_TOKEN.'
    : 'The site wants a token: pass it with --token-file FILE, --token TOKEN or COMIO_TOKEN.'
}

export function roleHint(status: number): string | undefined {
  if (status !== 403) return undefined
  return 'Status and metrics need a token of the role read, replay and purge one of the role admin.'
}

interface ErrorAnswer {
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
}

/** The `error` of an ErrorDocument; undefined when the body is none. */
export function parseError(text: string): ErrorAnswer | undefined {
  try {
    const document: unknown = JSON.parse(text)
    const error = fieldOf(document, 'error')
    const code = fieldOf(error, 'code')
    const message = fieldOf(error, 'message')
    const hint = fieldOf(error, 'hint')
    if (typeof code !== 'string' || typeof message !== 'string') return undefined
    return { code, message, hint: typeof hint === 'string' ? hint : undefined }
  } catch {
    // Not JSON: then it is not a site's answer, which is what undefined says.
    return undefined
  }
}

/** The first reason of a HealthDocument; undefined when the body is none. */
export function parseReason(text: string): string | undefined {
  try {
    const reasons = fieldOf(JSON.parse(text), 'reasons')
    const reason: unknown = Array.isArray(reasons) ? reasons[0] : undefined
    return typeof reason === 'string' ? reason : undefined
  } catch {
    // As above.
    return undefined
  }
}

function fieldOf(document: unknown, name: string): unknown {
  if (typeof document !== 'object' || document === null) return undefined
  return Object.entries(document).find(([key]) => key === name)?.[1]
}

/** The system's reason in words; with several addresses each has one, and the first is told. */
export function reasonOf(error: unknown): string {
  const inner = error instanceof AggregateError ? error.errors[0] : error
  switch (systemCodeOf(inner) ?? systemCodeOf(error)) {
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name is unknown'
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'the connection broke'
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return 'nobody that is trusted here has signed its certificate: name the issuer with --ca'
    case 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED':
      return 'it wants a client certificate: name one with --cert and --key'
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'it does not answer in TLS: is it http:// there?'
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'no answer in time'
    default:
      return messageOf(inner)
  }
}
