import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type Server,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ControlPlane, createControlPlane } from '../../src/admin/control-plane.ts'
import {
  NoSuchLetterError,
  NoSuchRemoteError,
  RemoteConflictError,
} from '../../src/admin/errors.ts'
import type {
  ControlObservation,
  ControlPlaneOptions,
  LettersOrder,
  RemotesControl,
  ReplayOrder,
} from '../../src/admin/ports.ts'
import type { RemoteDocument, ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { NoSuchBucketError, StorageFullError } from '../../src/store/model/errors.ts'
import { VolumeReadOnlyError } from '../../src/volume/format/errors.ts'
import { exampleScrub } from './example-scrub.ts'
import { exampleVerify } from './example-verify.ts'
import { fakeTokens } from './fake-tokens.ts'
import { ListedConflicts } from './listed-conflicts.ts'

export const statusDocument: ReplicationStatusDocument = {
  enabled: true,
  events_queued: 1523,
  events_replicated: 1500,
  events_failed: 23,
  events_superseded: 0,
  pending: 0,
  lag_seconds: 0.25,
  last_replication: '2025-12-03T21:00:00Z',
  site_id: 'site-a',
  volume_id: '00112233445566778899aabbccddeeff',
  role: { role: 'primary', term: 0, since: null, primary: null },
  sync: null,
  remotes: [
    {
      name: 'default',
      url: 'http://127.0.0.1:9',
      state: 'idle',
      state_since: '2025-12-03T20:00:00Z',
      cursor: 1523,
      head: 1523,
      pending_events: 0,
      pending_bytes: 0,
      oldest_pending: null,
      in_flight: 0,
      pulling: 0,
      rate: 1.5,
      wire_bytes: 0,
      saved_bytes: 0,
      lag_p50_ms: 3.5,
      lag_p99_ms: null,
      events_queued: 1523,
      events_replicated: 1500,
      events_failed: 23,
      events_superseded: 0,
      remote_superseded: 1,
      remote_conflicts: 2,
      verify: null,
      dead_letters: 0,
      replaying: 0,
      held_deletes: 0,
      held_objects: 0,
      apply_delay_seconds: 0,
      delayed_events: 0,
      delayed_until: null,
      stalled_since: null,
      last_replication: '2025-12-03T21:00:00Z',
      last_error: 'remote returned 400: no',
      last_error_at: '2025-12-03T20:59:00Z',
    },
  ],
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export type BenchChanges = Partial<ControlPlaneOptions & { readonly logger: Logger }>

const linked: RemoteDocument = {
  name: 'site-b',
  urls: ['http://127.0.0.1:9'],
  source: 'added',
  paused: false,
  epoch: 7,
  buckets: ['docs'],
  exclude_buckets: [],
  prefixes: [],
  exclude_prefixes: [],
  settings: { workers: '2' },
}

const remotesControl: RemotesControl = {
  list: () => [linked],
  add: async (document) => {
    if (document.name === 'taken') throw new RemoteConflictError('it is there already')
    return linked
  },
  set: async () => linked,
  remove: async (name) => ({ name, told: false, reason: 'it is away' }),
  pause: async (name) => ({ ...linked, name, paused: true }),
  resume: async (name) => ({ ...linked, name }),
}

/** A control plane over a port of its own, with a site behind it that notes what it is asked. */
export class ControlBench {
  readonly purged: string[] = []
  readonly replays: ReplayOrder[] = []
  readonly retried: LettersOrder[] = []
  readonly discarded: LettersOrder[] = []
  readonly observations: ControlObservation[] = []
  plane: ControlPlane | undefined
  readonly server: Server = createServer()

  async start(changes: BenchChanges = {}): Promise<this> {
    this.plane = await createControlPlane({
      store: {
        previewPurge: async (bucket) => {
          if (bucket === 'nowhere') throw new NoSuchBucketError(bucket)
          return { count: 3, bytes: 4096 }
        },
        headObject: () => undefined,
        purgeBucket: async (bucket) => {
          if (bucket === 'full') throw new StorageFullError({ wanted: 1 })
          if (bucket === 'read-only') throw new VolumeReadOnlyError('two writes failed')
          this.purged.push(bucket)
          return { count: 3, bytes: 4096 }
        },
      },
      conflicts: new ListedConflicts(),
      verify: exampleVerify([]),
      scrub: exampleScrub(),
      replication: {
        status: async () => statusDocument,
        failed: async () => ({
          failed: [
            {
              remote: 'default',
              seq: 7,
              bucket: 'docs',
              key: null,
              bytes: 0,
              reason: 'remote returned 400: no',
              attempts: 3,
              time: '2025-12-03T21:00:00.000Z',
            },
          ],
        }),
        replay: async (order) => {
          if (order.remote === 'nobody') throw new NoSuchRemoteError('no such remote')
          this.replays.push(order)
          return { count: 2, bytes: 20, through: 40 }
        },
        decide: async () => ({ deletes: 3, objects: 5, delayed: 0 }),
        changeRole: async ({ role, dry_run }) => ({
          role: dry_run === true ? 'primary' : role,
          term: 1,
          outcome: dry_run === true ? 'planned' : 'changed',
          checks: [{ ok: true, text: 'all is well' }],
        }),
        failedAt: async (seq, remote) => {
          if (seq !== 7) throw new NoSuchLetterError('no dead letter there')
          return {
            failed: [
              {
                remote: remote ?? 'default',
                seq,
                bucket: 'docs',
                key: 'a',
                bytes: 5,
                reason: 'remote returned 400: no',
                attempts: 3,
                time: '2025-12-03T21:00:00.000Z',
                about: 'object',
                version: 'v',
                version_site: 'site-a',
                version_time: '2025-12-03T20:00:00.000Z',
                current: {
                  version: 'v',
                  bytes: 5,
                  etag: 'e',
                  last_modified: '2025-12-03T20:00:00.000Z',
                  content_type: null,
                },
                there: { state: 'unknown', object: null, version: null, reason: 'no answer' },
              },
            ],
          }
        },
        retry: async (order) => {
          this.retried.push(order)
          return { count: 1, bytes: 5 }
        },
        discard: async (order) => {
          this.discarded.push(order)
          return { count: 1, bytes: 5 }
        },
      },
      remotes: remotesControl,
      tokens: fakeTokens,
      health: async () => ({ serving: true, document: { status: 'ok', reasons: [] } }),
      metrics: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'a_metric 1\n' }),
      authorize: () => undefined,
      observe: (observation) => this.observations.push(observation),
      logger: silentLogger,
      random: seededRandom(7),
      ...changes,
    })
    const { plane } = this
    this.server.on('request', (request, response) => plane.handle(request, response))
    this.server.on('checkContinue', (request, response) => plane.handle(request, response))
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    return this
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  send(
    method: string,
    path: string,
    options: { headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { ...options.headers }
      if (options.body !== undefined) {
        headers['content-length'] = String(Buffer.byteLength(options.body))
        headers['content-type'] ??= 'application/json'
      }
      const request = httpRequest({ port: this.port, method, path, headers }, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        )
      })
      request.on('error', reject)
      request.end(options.body)
    })
  }

  async close(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
    await this.plane?.close()
  }
}
