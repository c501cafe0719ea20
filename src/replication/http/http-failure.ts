/** What a remote's answers mean when they are not what was asked for: errors in words to act on. */
import { rethrowAssertion } from '../../base/assert.ts'
import { MalformedBytesError } from '../../base/byte-reader.ts'
import { messageOf, systemCodeOf } from '../../base/errors.ts'
import {
  RemoteProtocolError,
  RemoteRefusedError,
  RemoteUnreachableError,
  TicketGoneError,
} from '../wire/errors.ts'
import { hideSecrets } from '../wire/hide-secrets.ts'
import { commonTlsSettings, type TlsSettings } from './tls-connector.ts'

const messageLengthMax = 500
const errorCodePattern = /^[A-Z][A-Z0-9_]{2,39}$/

/** @throws RemoteProtocolError when there is more than `limit` */
export async function readBounded(body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body) {
    length += piece.length
    if (length > limit) throw new RemoteProtocolError(`the answer exceeds ${limit} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces, length)
}

/**
 * What an answer with an error status says: ComIO's error document, or the beginning of a text, and
 * nothing of it that may be a secret: it goes into logs, status and dead letters.
 */
export function refusalOf(status: number, bytes: Buffer, token: string): RemoteRefusedError {
  const said = errorDocumentOf(bytes)
  const remoteCode = hideSecrets(said.remoteCode, token)
  const message = hideSecrets(said.message, token)
  const redirect = status >= 300 && status < 400 ? 'a redirect, which is not followed' : ''
  const text = message.slice(0, messageLengthMax) || redirect || 'no reason was given'
  return new RemoteRefusedError({ status, remoteCode, message: text })
}

function errorDocumentOf(bytes: Buffer): { readonly remoteCode: string; readonly message: string } {
  const text = bytes.toString('utf8', 0, 2000)
  try {
    const document: unknown = JSON.parse(text)
    const error = memberOf(document, 'error')
    const message = memberOf(error, 'message')
    const code = memberOf(error, 'code')
    if (typeof message === 'string') {
      return { remoteCode: typeof code === 'string' ? code : '', message }
    }
    // A site that is starting answers everything with its health.
    const reasons = memberOf(document, 'reasons')
    if (Array.isArray(reasons)) return { remoteCode: '', message: reasons.join(', ') }
  } catch {
    // Not ours: a proxy's page, of which the beginning has to do.
  }
  return { remoteCode: '', message: text.replace(/\s+/g, ' ').trim() }
}

/** The code of ComIO's own error document, and nothing else: empty for anything that is none. */
export function documentCodeOf(bytes: Buffer): string {
  const { remoteCode } = errorDocumentOf(bytes)
  return errorCodePattern.test(remoteCode) ? remoteCode : ''
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}

interface FailureWords {
  /** For a connection that was cut. */
  readonly cutWords?: string | undefined
  readonly settings?: TlsSettings | undefined
}

/** Failures of the HTTP client as those that `transport.ts` names. */
export function translateFailure(
  error: unknown,
  base: string,
  { cutWords = wasCut, settings = commonTlsSettings }: FailureWords = {},
): Error {
  rethrowAssertion(error)
  if (error instanceof RemoteRefusedError || error instanceof RemoteProtocolError) return error
  if (error instanceof RemoteUnreachableError || error instanceof TicketGoneError) return error
  if (error instanceof MalformedBytesError) {
    return new RemoteProtocolError(`${base} answers, but not as ComIO: ${error.message}`, {
      cause: error,
      hint: 'Check that the remote address is that of a ComIO site.',
    })
  }
  const code = systemCodeOf(error)
  const isCut = code === 'UND_ERR_SOCKET' || code === 'ECONNRESET'
  const said = isCut ? cutWords : explanationOf(code ?? '', settings)
  const detail = said ?? (code === undefined ? messageOf(error) : code)
  return new RemoteUnreachableError(`cannot reach ${base}: ${detail}`, {
    cause: error,
    facts: { remote: base, code },
  })
}

export const wasCut = 'the connection was cut'

function explanationOf(code: string, { ca, certificate }: TlsSettings): string | undefined {
  if (unknownIssuerCodes.has(code)) {
    return `nobody that is trusted here has signed its certificate: name the issuer with ${ca}`
  }
  if (certificateWantedCodes.has(code)) {
    return `it wants a client certificate: set ${certificate}`
  }
  return explanations[code]
}

const unknownIssuerCodes: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
])

const certificateWantedCodes: ReadonlySet<string> = new Set([
  'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
  'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE',
])

const certificateRefused = 'it does not accept the client certificate of this site'

const explanations: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'the host name is not known',
  EHOSTUNREACH: 'no route to the host',
  ETIMEDOUT: 'no answer in time',
  EAI_AGAIN: 'the host name cannot be looked up now',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: certificateRefused,
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': certificateRefused,
  'ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED': certificateRefused,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'it wants a later version of TLS',
  EPROTO: 'it does not answer in TLS: is it http:// there?',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not answer in TLS: is it http:// there?',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within 10 s',
  UND_ERR_HEADERS_TIMEOUT: 'no answer within 30 s',
  UND_ERR_BODY_TIMEOUT: 'the answer stalled for 30 s',
  UND_ERR_ABORTED: 'the request was stopped',
  ABORT_ERR: 'the request was stopped',
  UND_ERR_DESTROYED: 'the connection is closed',
}
