/** One connection to a site, kept over many requests: the thread that took it answers, or passes on, all of them. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Answer, SendOptions, TestSite } from './test-site.ts'

export class KeptConnection {
  readonly #url: URL
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(url: string) {
    this.#url = new URL(url)
  }

  send(method: string, path: string, options: SendOptions = {}): Promise<Answer> {
    const { hostname, port } = this.#url
    const { body = '' } = options
    const headers: Record<string, string | number> = { ...options.headers }
    if (body.length > 0) headers['content-length'] = Buffer.byteLength(body)
    return new Promise((resolve, reject) => {
      const agent = this.#agent
      const request = httpRequest({ host: hostname, port, method, path, headers, agent })
      request.on('response', (response) => {
        response.toArray().then(
          (chunks) =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks),
            }),
          reject,
        )
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

export interface Connections {
  /** Taken by the thread that has the store. */
  readonly engine: KeptConnection
  /** Taken by another one. */
  readonly thread: KeptConnection
  close(): void
}

/** Each thread's request ids begin with eight digits of its own. */
export function whoAnswered({ headers }: { readonly headers: IncomingHttpHeaders }): string {
  return String(headers['x-amz-request-id']).slice(0, 8)
}

/**
 * One connection of either kind: the system divides them by their ports, so they are made until there is one of
 * each. `bucket/key` is left there.
 */
export async function connectTo(
  site: TestSite,
  options: SendOptions & { readonly bucket: string; readonly key: string },
): Promise<Connections> {
  const { bucket, key, headers = {} } = options
  await site.send('PUT', `/${bucket}/${key}`, { headers, body: 'x' })
  const engineId = whoAnswered(await site.send('GET', `/${bucket}?list-type=2`, { headers }))
  let [engine, thread]: (KeptConnection | undefined)[] = []
  while (engine === undefined || thread === undefined) {
    const one = new KeptConnection(site.url)
    // Reads say it less surely: a thread whose reads were slow just then passes them on.
    const put = await one.send('PUT', `/${bucket}/${key}`, { headers, body: 'x' })
    const isEngine = whoAnswered(put) === engineId
    // The first reads of a segment are passed on, until the thread knows where it lies.
    for (let look = 0; look < 3; look++) await one.send('GET', `/${bucket}/${key}`, { headers })
    if (isEngine && engine === undefined) engine = one
    else if (!isEngine && thread === undefined) thread = one
    else one.close()
  }
  const made = [engine, thread]
  return { engine, thread, close: () => made.map((one) => one.close()) }
}

/** A connection whose bytes the test writes itself. */
export class RawConnection {
  readonly #socket: Socket
  #received = ''

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.#socket = connect({ host: hostname, port: Number(port) })
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => {
      this.#received += text
    })
  }

  /** What has come up to the end of the first match of `end`; throws what the other side has said before it closed. */
  async ask(bytes: string, end: RegExp): Promise<string> {
    this.#socket.write(bytes, 'latin1')
    for (;;) {
      const match = end.exec(this.#received)
      if (match !== null) {
        const length = match.index + match[0].length
        const received = this.#received.slice(0, length)
        this.#received = this.#received.slice(length)
        return received
      }
      if (this.#socket.readableEnded || this.#socket.destroyed)
        throw new Error(`closed after: ${this.#received}`)
      await new Promise((resolve) => {
        for (const event of ['data', 'end', 'close', 'error']) this.#socket.once(event, resolve)
      })
    }
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** One that the engine's thread has taken, or another. */
export async function connectRaw(
  site: TestSite,
  path: string,
  taker: 'engine' | 'thread' = 'thread',
): Promise<RawConnection> {
  const engineId = whoAnswered(await site.send('GET', '/first?list-type=2'))
  for (;;) {
    const raw = new RawConnection(site.url)
    const get = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
    let head = ''
    for (let look = 0; look < 3; look++) head = await raw.ask(get, /\r\n\r\nx/)
    const isEngine = head.toLowerCase().includes(`x-amz-request-id: ${engineId.toLowerCase()}`)
    if (isEngine === (taker === 'engine')) return raw
    raw.close()
  }
}
