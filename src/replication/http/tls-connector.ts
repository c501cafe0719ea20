/** How connections to https:// sites are secured, with certificates that can change meanwhile. */
import { buildConnector } from 'undici'

/** PEM each. Without `ca`, what the system and NODE_EXTRA_CA_CERTS trust. */
export interface ClientTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/** Where people say what a connection trusts and shows: what an error tells them to set. */
export interface TlsSettings {
  readonly ca: string
  readonly certificate: string
}

export const commonTlsSettings: TlsSettings = {
  ca: 'replication.ca',
  certificate: 'replication.client_cert and replication.client_key',
}

/** What holds now. Whoever renews it gives out another object. */
export type ClientTlsSource = () => ClientTls

export const systemTrust: ClientTlsSource = (() => {
  const nothing: ClientTls = {}
  return () => nothing
})()

/** Secures each new connection with what `source` says then; those that are open stay as they are. */
export function connectorOf(source: ClientTlsSource, timeoutMs: number): buildConnector.connector {
  let built: { readonly tls: ClientTls; readonly connect: buildConnector.connector } | undefined
  return (options, callback) => {
    const tls = source()
    if (built?.tls !== tls) {
      built = { tls, connect: buildConnector({ timeout: timeoutMs, allowH2: false, ...tls }) }
    }
    built.connect(options, callback)
  }
}
