/** One connection to a site, kept over many requests: the thread that took it answers, or passes on, all of them. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
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
    // The first reads of a segment are passed on, until the thread knows where it lies.
    for (let look = 0; look < 3; look++) await one.send('GET', `/${bucket}/${key}`, { headers })
    const isEngine =
      whoAnswered(await one.send('GET', `/${bucket}/${key}`, { headers })) === engineId
    if (isEngine && engine === undefined) engine = one
    else if (!isEngine && thread === undefined) thread = one
    else one.close()
  }
  const made = [engine, thread]
  return { engine, thread, close: () => made.map((one) => one.close()) }
}
