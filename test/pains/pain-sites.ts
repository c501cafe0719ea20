/** Sites for the tests of this folder: whole ones in this process, which the tests of a file share. */
import type {
  HealthDocument,
  RemoteChangeDocument,
  RemoteStatus,
  ReplicationStatusDocument,
} from '../../src/admin/protocol.ts'
import type { VerifyDocument, VerifyResultDocument } from '../../src/admin/verify-protocol.ts'
import { inParallel } from '../e2e/parallel.ts'
import { NotYet, until } from '../e2e/until.ts'
import { parseMetrics } from '../server/parse-metrics.ts'
import { type ConfigChanges, remoteAt, type TestSite } from '../server/test-site.ts'

export const token = 'pains-token-0123456789abcdef0123456789abcdef'

const asJson = { 'content-type': 'application/json' }

/** Of a site that takes what others ship and ships to `url`, impatiently; without one, to nobody yet. */
export function settingsOf(
  siteId: string,
  url?: string,
  replication: ConfigChanges['replication'] = {},
): ConfigChanges {
  const remotes = url === undefined ? [] : [remoteAt(url, token)]
  const impatient = { retryDelayMs: 100, stallAfterMs: 200, batchIntervalMs: 0 }
  const own = { enabled: true, acceptTokens: [token], remotes, ...impatient, ...replication }
  return { server: { siteId, storageSize: 120 * 2 ** 20 }, replication: own }
}

export async function statusOf(site: TestSite): Promise<ReplicationStatusDocument> {
  return site.json('GET', '/admin/replication/status')
}

/** The remote once it is as wanted; while anything of it changes, there is no end to the wait. */
export function remoteWhen(
  site: TestSite,
  wanted: string,
  isWanted: (remote: RemoteStatus) => boolean,
  name = 'default',
): Promise<RemoteStatus> {
  return until(wanted, async () => {
    const { remotes } = await statusOf(site)
    const remote = remotes.find((one) => one.name === name)
    return remote !== undefined && isWanted(remote) ? remote : new NotYet(remote?.pending_events)
  })
}

export function shipped(site: TestSite, name = 'default'): Promise<RemoteStatus> {
  return remoteWhen(site, 'all is shipped', ({ pending_events }) => pending_events === 0, name)
}

export function healthWhen(site: TestSite, status: HealthDocument['status']) {
  return until(`health is ${status}`, async () => {
    const health: HealthDocument = await site.json('GET', '/admin/health')
    return health.status === status ? health : new NotYet(health)
  })
}

export async function metric(site: TestSite, name: string): Promise<number> {
  const { body } = await site.send('GET', '/admin/metrics')
  return parseMetrics(body.toString()).get(name) ?? 0
}

export async function read(site: TestSite, path: string): Promise<string> {
  const { status, body } = await site.send('GET', path)
  return status === 200 ? body.toString() : String(status)
}

export async function keysIn(site: TestSite, bucket: string): Promise<readonly string[]> {
  const { body } = await site.send('GET', `/${bucket}?list-type=2`)
  return [...body.toString().matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key ?? '')
}

export async function put(site: TestSite, path: string, body: string | Buffer): Promise<void> {
  const answer = await site.send('PUT', path, { body })
  if (answer.status !== 200) throw new Error(`PUT ${path}: ${answer.status} ${answer.body}`)
}

/** So many objects, several at a time; `path` and `body` are told which. */
export function putEach(
  site: TestSite,
  count: number,
  path: (i: number) => string,
  body: (i: number) => string | Buffer = () => 'x',
): Promise<void> {
  return inParallel(16, count, (i) => put(site, path(i), body(i)))
}

export function post(site: TestSite, path: string, body: object = {}) {
  return site.json('POST', `/admin/${path}`, { headers: asJson, body: JSON.stringify(body) })
}

export function addRemote(site: TestSite, remote: RemoteChangeDocument) {
  return post(site, 'replication/remotes', { token, ...remote })
}

/** Compares with the remote, to the end. */
export async function verify(site: TestSite, order = {}): Promise<VerifyResultDocument> {
  const { id }: VerifyDocument = await post(site, 'replication/verify', order)
  return until('the comparison ends', async () => {
    const run: VerifyDocument = await site.json('GET', '/admin/replication/verify')
    const [result] = run.results
    return run.id === id && run.running === null && result !== undefined ? result : new NotYet(run)
  })
}
