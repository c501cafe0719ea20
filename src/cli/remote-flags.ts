/** What can be said of a remote on the command line, as the control plane wants it. */
import { readFile } from 'node:fs/promises'
import { Flags } from '@oclif/core'
import type { RemoteChangeDocument } from '../admin/protocol.ts'
import { messageOf } from '../base/errors.ts'
import { isPemText } from '../config/pem-text.ts'
import { UsageError } from './errors.ts'

export const remoteFlags = {
  'remote-token': Flags.string({
    summary: 'Token that the remote accepts. Others on this machine can see it: prefer the file.',
    helpValue: 'TOKEN',
    exclusive: ['remote-token-file', 'remote-token-path'],
  }),
  'remote-token-file': Flags.string({
    summary: 'File that holds it; read here, kept in the volume of the site.',
    helpValue: 'FILE',
    exclusive: ['remote-token-path'],
  }),
  'remote-token-path': Flags.string({
    summary: 'File at the site that holds it; the site reads it again when the remote refuses.',
    helpValue: 'PATH',
  }),
  'remote-ca': Flags.string({
    summary: "File with the issuer of the remote's certificate, as PEM; read here, kept there.",
    helpValue: 'FILE',
  }),
  'remote-cert': Flags.string({
    summary: 'File with a certificate to show to the remote, as PEM; read here, kept there.',
    helpValue: 'FILE',
    dependsOn: ['remote-key'],
  }),
  'remote-key': Flags.string({
    summary: 'File with the private key of that certificate.',
    helpValue: 'FILE',
    dependsOn: ['remote-cert'],
  }),
  bucket: Flags.string({ summary: 'Only this bucket.', multiple: true, helpValue: 'NAME' }),
  'exclude-bucket': Flags.string({ summary: 'Not it.', multiple: true, helpValue: 'NAME' }),
  prefix: Flags.string({ summary: 'Only keys that begin so.', multiple: true, helpValue: 'TEXT' }),
  'exclude-prefix': Flags.string({ summary: 'None of them.', multiple: true, helpValue: 'TEXT' }),
  workers: Flags.integer({ summary: 'Requests to it at one time.', min: 1 }),
  'batch-size': Flags.integer({ summary: 'Most changes in one request.', min: 1 }),
  'batch-bytes': Flags.string({ summary: 'Most bytes in one request.', helpValue: 'SIZE' }),
  transfer: Flags.string({
    summary: 'How large objects travel.',
    options: ['auto', 'pull', 'push'],
  }),
  compression: Flags.string({ summary: 'Whether to compress.', options: ['auto', 'off'] }),
  'bandwidth-limit': Flags.string({ summary: 'Most bytes per second.', helpValue: 'SIZE' }),
  mode: Flags.string({
    summary: 'Whether writes wait until it has them: sync or async.',
    options: ['async', 'sync'],
  }),
  'max-delete-count': Flags.string({
    summary: 'Most objects deleted in a window before deletes are held; off for no limit.',
    helpValue: 'N',
  }),
  'max-delete-percent': Flags.string({
    summary: 'The same in percent of all objects.',
    helpValue: 'N',
  }),
  'delete-window': Flags.string({ summary: 'How long that window is.', helpValue: 'DURATION' }),
  'apply-delay': Flags.string({
    summary: 'How old a change must be before it is sent.',
    helpValue: 'DURATION',
  }),
}

export interface RemoteFlags {
  readonly 'remote-token'?: string | undefined
  readonly 'remote-token-file'?: string | undefined
  readonly 'remote-token-path'?: string | undefined
  readonly 'remote-ca'?: string | undefined
  readonly 'remote-cert'?: string | undefined
  readonly 'remote-key'?: string | undefined
  readonly bucket?: readonly string[] | undefined
  readonly 'exclude-bucket'?: readonly string[] | undefined
  readonly prefix?: readonly string[] | undefined
  readonly 'exclude-prefix'?: readonly string[] | undefined
  readonly workers?: number | undefined
  readonly 'batch-size'?: number | undefined
  readonly 'batch-bytes'?: string | undefined
  readonly transfer?: string | undefined
  readonly compression?: string | undefined
  readonly 'bandwidth-limit'?: string | undefined
  readonly mode?: string | undefined
  readonly 'max-delete-count'?: string | undefined
  readonly 'max-delete-percent'?: string | undefined
  readonly 'delete-window'?: string | undefined
  readonly 'apply-delay'?: string | undefined
}

/** @throws UsageError when a file cannot be read */
export async function remoteChangeOf(flags: RemoteFlags): Promise<RemoteChangeDocument> {
  const fields: Record<string, string | readonly string[] | undefined> = {
    token:
      flags['remote-token'] ??
      (await readIfNamed('--remote-token-file', flags['remote-token-file'])),
    token_file: flags['remote-token-path'],
    ca: await readPem('--remote-ca', flags['remote-ca']),
    client_cert: await readPem('--remote-cert', flags['remote-cert']),
    client_key: await readPem('--remote-key', flags['remote-key']),
    buckets: flags.bucket,
    exclude_buckets: flags['exclude-bucket'],
    prefixes: flags.prefix,
    exclude_prefixes: flags['exclude-prefix'],
    workers: flags.workers?.toString(),
    batch_size: flags['batch-size']?.toString(),
    batch_bytes: flags['batch-bytes'],
    transfer: flags.transfer,
    compression: flags.compression,
    bandwidth_limit: flags['bandwidth-limit'],
    mode: flags.mode,
    max_delete_count: flags['max-delete-count'],
    max_delete_percent: flags['max-delete-percent'],
    delete_window: flags['delete-window'],
    apply_delay: flags['apply-delay'],
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

async function readPem(flag: string, path: string | undefined): Promise<string | undefined> {
  const text = await readIfNamed(flag, path)
  if (text === undefined || isPemText(text)) return text
  throw new UsageError(`${flag}: ${path} is no PEM file`)
}

async function readIfNamed(flag: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (cause) {
    throw new UsageError(`${flag}: cannot read ${path}: ${messageOf(cause)}`, { cause })
  }
}
