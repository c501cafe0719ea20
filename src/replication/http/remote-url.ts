import { BadRemoteUrlError } from '../wire/errors.ts'

export interface RemoteUrl {
  /** Scheme, host and port: what one connects to. */
  readonly origin: string
  /** Path before `/admin`, without a slash at the end; empty mostly. */
  readonly prefix: string
  /** Both together. */
  readonly base: string
  readonly isPlaintext: boolean
  readonly isLoopback: boolean
}

/**
 * The address of a site: http or https, no credentials, no query.
 *
 * @param what what the address is, for the message
 * @throws BadRemoteUrlError
 */
export function parseRemoteUrl(text: string, what: string): RemoteUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new BadRemoteUrlError(`${what} is no http:// or https:// URL`, {
      hint: 'Give it as https://site-b.example.com or http://127.0.0.1:8081.',
    })
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new BadRemoteUrlError(`${what} carries more than host, port and path`, {
      hint: 'Leave credentials, query and fragment out; the token is given on its own.',
    })
  }
  const prefix = url.pathname.replace(/\/+$/, '')
  return {
    origin: url.origin,
    prefix,
    base: url.origin + prefix,
    isPlaintext: url.protocol === 'http:',
    isLoopback: isLoopbackHost(url.hostname),
  }
}

function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}
