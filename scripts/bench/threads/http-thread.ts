/** One HTTP thread of the prototype: parses, moves bytes, asks the engine, answers. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { hashBytes, readBytes, runEngine, stored } from './engine-work.ts'
import { type Ask, askByMessages, askByRing, type Ring } from './link.ts'

export interface ThreadData {
  /** What the threads before this one listen on; 0 for the first. */
  readonly port: number
  /** Undefined for messages. */
  readonly ring: Ring | undefined
  /** The thread looks into the index itself: only PUTs ask the engine. */
  readonly hasView: boolean
}

/** Resolves to the port that is listened on. */
export async function serveHttp(ask: Ask, listenOn: number): Promise<number> {
  const server = createServer((request, response) => {
    if (request.method === 'GET') void answerGet(response, ask)
    else collect(request, (body) => void answerPut(response, body, ask))
  })
  server.listen({ host: '127.0.0.1', port: listenOn, reusePort: true, backlog: 1024 })
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

async function answerGet(response: ServerResponse, ask: Ask): Promise<void> {
  await ask('GET', undefined)
  readBytes()
  response.end(stored)
}

async function answerPut(response: ServerResponse, body: Uint8Array, ask: Ask): Promise<void> {
  const etag = hashBytes(body)
  await ask('PUT', body)
  response.writeHead(200, ['ETag', etag, 'Content-Length', '0']).end()
}

/** Calls back with a copy, which can be handed over. */
function collect(request: IncomingMessage, done: (body: Uint8Array) => void): void {
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.once('end', () => done(new Uint8Array(Buffer.concat(pieces))))
}

if (!isMainThread && parentPort !== null) {
  const { port, ring, hasView } = workerData as ThreadData
  const askEngine = ring === undefined ? askByMessages(parentPort) : askByRing(ring)
  const ask: Ask = async (method, body) => {
    if (hasView && method === 'GET') runEngine(method)
    else await askEngine(method, body)
  }
  parentPort.postMessage(await serveHttp(ask, port))
}
