/** What goes from an HTTP thread to the engine's socket, between a client and an engine that the test plays. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { EngineAgent } from '../../src/server/threads/engine-agent.ts'
import { PassOn } from '../../src/server/threads/pass-on.ts'

let folder: string
let socketPath: string
const cleanup: (() => unknown)[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-pass-on-'))
  socketPath = join(folder, 'engine')
})
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step()
  await rm(folder, { recursive: true })
})

async function listening(server: Server, where: object): Promise<void> {
  server.listen(where)
  await once(server, 'listening')
  cleanup.push(() => {
    server.closeAllConnections()
    server.close()
  })
}

/** The connection of a client whose requests are all passed on. */
async function connectClient(): Promise<Socket> {
  const passOn = new PassOn({ socketPath, logger: silentLogger })
  cleanup.push(() => passOn.close())
  const front = createServer((...exchange) => passOn.handle(...exchange))
  await listening(front, { host: '127.0.0.1', port: 0 })
  const address = front.address()
  const client = connect(typeof address === 'object' && address !== null ? address.port : 0)
  cleanup.push(() => client.destroy())
  return client
}

test('requests one behind the other on a connection are passed on one at a time', async () => {
  let running = 0
  let most = 0
  const engine = createServer((asked, response) => {
    most = Math.max(most, ++running)
    // Those behind it would have come by then.
    setImmediate(() => setImmediate(() => response.end(`<${asked.url}>`, () => running--)))
  })
  await listening(engine, { path: socketPath })
  const client = await connectClient()
  const paths = Array.from({ length: 40 }, (_, at) => `/${at}`)
  client.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  let received = ''
  while (!received.includes('</39>')) received += String((await once(client, 'data'))[0])
  expect(received.match(/<[^>]+>/g)).toEqual(paths.map((path) => `<${path}>`))
  expect(most).toBe(1)
})

/** Takes nobody until it is told to, and lets hardly anybody wait. */
const busyEngine = `
  const { workerData, parentPort } = require('node:worker_threads')
  const server = require('node:http').createServer((_, response) => response.end('answered'))
  server.listen({ path: workerData.socketPath, backlog: 1 }, () => {
    parentPort.postMessage('listening')
    Atomics.wait(new Int32Array(workerData.words), 0, 0)
  })
`

test('who comes while too many wait for the engine is passed on later', async () => {
  const words = new SharedArrayBuffer(4)
  const engine = new Worker(busyEngine, { eval: true, workerData: { socketPath, words } })
  cleanup.push(() => engine.terminate())
  await once(engine, 'message')
  let refusals = 0
  const clock: Clock = {
    ...systemClock,
    after(ms, callback) {
      refusals++
      Atomics.store(new Int32Array(words), 0, 1)
      Atomics.notify(new Int32Array(words), 0)
      return systemClock.after(ms, callback)
    },
  }
  const agent = new EngineAgent({ socketPath, clock })
  cleanup.push(() => agent.destroy())
  const ask = async (): Promise<string> => {
    const asked = request({ agent, path: '/' })
    asked.end()
    const [answer] = await once(asked, 'response')
    return await text(answer)
  }
  const answers = await Promise.all(Array.from({ length: 50 }, ask))
  expect(answers).toEqual(answers.map(() => 'answered'))
  expect(refusals).toBeGreaterThan(0)
})
