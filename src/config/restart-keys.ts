/** Which settings differ between two configurations and are taken over by a restart alone. */
import { type ConfigKey, configKeyNames } from './config-keys.ts'
import { shortFormName } from './remote-entry.ts'
import type { ServerConfig } from './server-config.ts'

/** What a running site takes over (`server/credentials/reloading.ts`): tokens, and the files of certificates. */
const reloadable: ReadonlySet<string> = new Set<ConfigKey>([
  'server.tls_key',
  'server.tls_client_ca',
  'auth.tokens',
  'replication.accept_tokens',
  'replication.ca',
  'replication.client_cert',
  'replication.client_key',
])

/** In the order of the manual. */
export function restartKeys(running: ServerConfig, next: ServerConfig): readonly ConfigKey[] {
  const [before, after] = [valuesOf(running), valuesOf(next)]
  return configKeyNames.filter((key) => before.get(key) !== after.get(key))
}

/** Every value that needs a restart as text, by its key. */
export function valuesOf(config: ServerConfig): ReadonlyMap<string, string> {
  const values = new Map<string, unknown>()
  for (const section of ['server', 'logging', 'replication'] as const) {
    for (const [field, value] of Object.entries(config[section])) {
      if (field === 'tls' || field === 'remotes') continue
      values.set(keyOf(section, field), value)
    }
  }
  for (const [section, part] of Object.entries(config.storage)) {
    for (const [field, value] of Object.entries(part)) {
      values.set(keyOf(`storage.${section}`, field), value)
    }
  }
  const { tls } = config.server
  // Other files are taken over; whether there is TLS at all is not.
  values.set('server.tls_cert', tls !== undefined)
  values.set('server.tls_client_auth', tls?.clientAuth)
  values.set('server.tls_min_version', tls?.minVersion)
  const remotes = config.replication.remotes.map(({ token, tokenFile, ...others }) => others)
  const isShort = ({ name }: { readonly name: string }) => name === shortFormName
  values.set('replication.remote_url', remotes.filter(isShort))
  values.set(
    'replication.remotes',
    remotes.filter((remote) => !isShort(remote)),
  )
  const kept = [...values].filter(([key]) => !reloadable.has(key))
  return new Map(kept.map(([key, value]) => [key, JSON.stringify(value) ?? '']))
}

/** `syncTimeoutMs` of `replication` is `replication.sync_timeout`. */
function keyOf(section: string, field: string): string {
  const words = field.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  return `${section}.${words}`
}
