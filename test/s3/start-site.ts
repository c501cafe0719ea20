import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { ByteBudget } from '../../src/base/byte-budget.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { createS3Handler, type S3HandlerOptions, type S3Observation } from '../../src/s3/handler.ts'
import type { ObjectStore } from '../../src/store/model/object-store.ts'
import { openTestStore } from './test-store.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
}

export interface Ask {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
}

export interface TestSite {
  readonly port: number
  readonly store: ObjectStore
  readonly observed: readonly S3Observation[]
  /** `path` goes out as it is, without the normalising that a URL would do. */
  send(method: string, path: string, ask?: Ask): Promise<Answer>
  connect(): Promise<RawConnection>
  close(): Promise<void>
}

export type SiteOptions = Partial<Omit<S3HandlerOptions, 'store'>> & {
  /** Puts something between handler and store: faults, gates. */
  readonly wrapStore?: (store: ObjectStore) => ObjectStore
  /** What the volume may take. */
  readonly capacityBytes?: number
}

/** The data plane over a real store, on a real socket. */
export async function startSite(options: SiteOptions = {}): Promise<TestSite> {
  const { wrapStore = (store) => store, capacityBytes, ...overrides } = options
  const opened = await openTestStore(capacityBytes === undefined ? {} : { capacityBytes })
  const clock = overrides.clock ?? systemClock
  const observed: S3Observation[] = []
  const handler = createS3Handler({
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    budget: new ByteBudget({ clock, capacityBytes: 64 * 2 ** 20 }),
    authorize: () => ({ allowed: true }),
    autoCreateBuckets: true,
    observe: (observation) => observed.push(observation),
    ...overrides,
    store: wrapStore(opened.store),
  })
  const server = createServer(handler)
  server.on('checkContinue', handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    store: opened.store,
    observed,
    send: (method, path, ask) => send({ method, path, port }, ask),
    connect: () => RawConnection.open(port),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      await opened.close()
    },
  }
}

function send(
  target: { readonly method: string; readonly path: string; readonly port: number },
  { headers = {}, body }: Ask = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest(
      { host: '127.0.0.1', ...target, agent: false, headers: { ...length, ...headers } as never },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const whole = Buffer.concat(chunks)
          const { statusCode: status = 0, headers: answered } = response
          resolve({ status, headers: answered, body: whole, text: whole.toString() })
        })
      },
    )
    request.on('error', reject)
    // As bytes: with a text behind them node:http would send the headers as UTF-8, not as they are.
    request.end(body === undefined ? undefined : Buffer.from(body))
  })
}

/** A socket with a memory, for requests that no HTTP client would send. */
export class RawConnection {
  readonly socket: Socket
  #received = ''
  #ended = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      this.#wake()
    })
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(new RawConnection(socket)))
      socket.once('error', reject)
    })
  }

  get received(): string {
    return this.#received
  }

  write(text: string | Uint8Array): this {
    this.socket.write(text)
    return this
  }

  /** Everything received so far, once it holds `pattern`; throws when the connection ends without. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      if (pattern.test(this.#received)) return this.#received
      if (this.#ended) throw new Error(`closed without ${pattern}: ${this.#received}`)
      await this.#change()
    }
  }

  /** Everything received when the other side has closed. */
  async end(): Promise<string> {
    while (!this.#ended) await this.#change()
    return this.#received
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
