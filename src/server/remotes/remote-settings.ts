/** What is said of a remote that is added or changed at run time, and what follows from it. */
import { isAbsolute } from 'node:path'
import { RemoteSettingsError } from '../../admin/errors.ts'
import type { RemoteChangeDocument } from '../../admin/protocol.ts'
import { isPemText } from '../../config/pem-text.ts'
import {
  parseRemoteDocument,
  type RemoteConfig,
  type RemoteDocument as SettingsDocument,
} from '../../config/remote-entry.ts'
import { commonTlsSettings, type TlsSettings } from '../../replication/http/tls-connector.ts'
import type { ReplicationOptions } from '../../replication/options.ts'

/** What is other for this remote than for all. */
export function overridesOf({
  workers,
  batchSize,
  batchBytes,
  transfer,
  maxDeleteCount,
  maxDeletePercent,
  deleteWindowMs,
  applyDelayMs,
}: RemoteConfig): Partial<ReplicationOptions> {
  return {
    ...(maxDeleteCount === undefined ? {} : { maxDeleteCount: maxDeleteCount ?? undefined }),
    ...(maxDeletePercent === undefined ? {} : { maxDeletePercent: maxDeletePercent ?? undefined }),
    ...(deleteWindowMs === undefined ? {} : { deleteWindowMs }),
    ...(applyDelayMs === undefined ? {} : { applyDelayMs }),
    ...(workers === undefined ? {} : { workers }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(batchBytes === undefined ? {} : { batchBytes }),
    ...(transfer === undefined ? {} : { transfer }),
  }
}

/** Where what the remote is trusted by and shown is to be set: beside what is its own, nothing else counts. */
export function tlsSettingsOf({ name, tls }: RemoteConfig, isAdded: boolean): TlsSettings {
  if (isAdded) {
    const command = `comio repl remote set ${name}`
    return {
      ca: `${command} --remote-ca FILE`,
      certificate: `one with ${command} --remote-cert FILE --remote-key FILE`,
    }
  }
  const where = `of ${name} in replication.remotes`
  return {
    ca: tls.ca === undefined ? commonTlsSettings.ca : `ca ${where}`,
    certificate:
      tls.clientCert === undefined
        ? commonTlsSettings.certificate
        : `client_cert and client_key ${where}`,
  }
}

/** Of which a remote has one. */
export const tokenFields: readonly string[] = ['token', 'token_file']

/** What was not said stays, what is null goes, and one way of giving the token replaces the other. */
export function mergeSettings(
  before: SettingsDocument,
  change: RemoteChangeDocument,
): SettingsDocument {
  const merged: Record<string, string | readonly string[]> = { ...before }
  if (tokenFields.some((field) => typeof change[field] === 'string')) {
    for (const field of tokenFields) delete merged[field]
  }
  for (const [field, value] of Object.entries(change)) {
    if (value === null) delete merged[field]
    else if (value !== undefined) merged[field] = value
  }
  return merged
}

/** @throws RemoteSettingsError */
export function settingsOf(document: RemoteChangeDocument): {
  readonly remote: RemoteConfig
  readonly settings: SettingsDocument
} {
  const settings = mergeSettings({}, document)
  const parsed = parseRemoteDocument(settings)
  const tokenFile = 'remote' in parsed ? parsed.remote.tokenFile : undefined
  if (tokenFile !== undefined && !isAbsolute(tokenFile)) {
    throw new RemoteSettingsError('token_file must be an absolute path', {
      hint: 'The site reads it: name it as it is called there.',
    })
  }
  if ('remote' in parsed) {
    assertTexts(parsed.remote)
    return { remote: parsed.remote, settings }
  }
  throw new RemoteSettingsError(`the remote cannot be set up: ${parsed.problem}`)
}

/** Whoever may add a remote may not have this site read any file of its machine. */
function assertTexts({ tls }: RemoteConfig): void {
  const found = Object.values(tls).some((place) => place !== undefined && !isPemText(place))
  if (!found) return
  throw new RemoteSettingsError('the certificates of a remote added at run time are no paths', {
    hint: 'Send the text of the PEM files: the volume keeps it.',
  })
}
