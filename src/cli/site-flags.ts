/** The flags of commands that talk to a running site, and the client made from them. */
import { readFile } from 'node:fs/promises'
import { Flags } from '@oclif/core'
import type { AdminClient } from '../admin/client.ts'
import { messageOf } from '../base/errors.ts'
import { isLoopbackHost } from '../config/host-kind.ts'
import { UsageError } from './errors.ts'
import { writeWarning } from './output.ts'

export const siteFlags = {
  url: Flags.string({
    summary: 'Address of the site.',
    default: 'http://127.0.0.1:8080',
    env: 'COMIO_URL',
    helpValue: 'URL',
  }),
  token: Flags.string({
    summary: 'Token to show to the site. Others on this machine can see it: prefer COMIO_TOKEN.',
    helpValue: 'TOKEN',
    exclusive: ['token-file'],
  }),
  'token-file': Flags.string({
    summary: 'File that holds the token. Without either flag, COMIO_TOKEN is used.',
    helpValue: 'FILE',
  }),
  ca: Flags.string({
    summary: "File with the issuer of the site's certificate, as PEM.",
    env: 'COMIO_CA',
    helpValue: 'FILE',
  }),
  cert: Flags.string({
    summary: 'File with a certificate to show to the site, as PEM.',
    helpValue: 'FILE',
    dependsOn: ['key'],
  }),
  key: Flags.string({
    summary: 'File with the private key of that certificate.',
    helpValue: 'FILE',
    dependsOn: ['cert'],
  }),
}

export interface SiteFlags {
  readonly url: string
  readonly token?: string | undefined
  readonly 'token-file'?: string | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

export interface SiteAccess {
  /** Without a slash at the end. */
  readonly url: string
  readonly token: string | undefined
  /** PEM each, for https. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

/** @throws UsageError for a URL, a file or a token that cannot be right */
export async function siteAccess(
  flags: SiteFlags,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<SiteAccess> {
  const url = URL.parse(flags.url)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError('--url must be an address such as http://127.0.0.1:8080')
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.pathname !== '/') {
    const hint = 'Give the token with --token-file or COMIO_TOKEN.'
    throw new UsageError('--url must hold a host and a port, and nothing else', { hint })
  }
  const token = await findToken(flags, env)
  if (token !== undefined && url.protocol === 'http:' && !isLoopbackHost(url.hostname)) {
    writeWarning(`the token travels unencrypted to ${url.origin}: use https:// where you can`)
  }
  return { url: url.origin, token, tls: await readTls(flags) }
}

async function findToken(
  flags: SiteFlags,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  const file = flags['token-file']
  const token = (
    flags.token ?? (file === undefined ? env.COMIO_TOKEN : await readNamed('token-file', file))
  )?.trim()
  if (token === undefined || (token === '' && flags.token === undefined && file === undefined)) {
    return undefined
  }
  if (/^[\x21-\x7e]{1,512}$/.test(token)) return token
  throw new UsageError('the token must be 1 to 512 visible ASCII characters, without spaces')
}

async function readTls(flags: SiteFlags): Promise<SiteAccess['tls']> {
  const tls: { ca?: string; cert?: string; key?: string } = {}
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = flags[name]
    if (path === undefined) continue
    const text = await readNamed(name, path)
    if (!text.includes('-----BEGIN ')) throw new UsageError(`--${name}: ${path} is no PEM file`)
    tls[name] = text
  }
  return tls
}

async function readNamed(flag: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new UsageError(`--${flag}: cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}

/** Runs `use` with a client for the site, and closes it afterwards. */
export async function withClient<T>(
  flags: SiteFlags,
  use: (client: AdminClient, access: SiteAccess) => Promise<T>,
): Promise<T> {
  const access = await siteAccess(flags)
  const { AdminClient } = await import('../admin/client.ts')
  const client = new AdminClient(access)
  try {
    return await use(client, access)
  } finally {
    await client.close()
  }
}
