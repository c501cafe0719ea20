/**
 * The prototype's process: `start.ts single`, or `start.ts messages N`, `ring N` or `views N`. Prints its port.
 * With views the threads read by themselves, and PUTs go through a ring.
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { runEngine } from './engine-work.ts'
import { serveHttp, type ThreadData } from './http-thread.ts'
import { answerMessages, answerRing, makeRing } from './link.ts'

const [mode = 'single', threads = '1'] = process.argv.slice(2)
let port = 0
if (mode === 'single') port = await serveHttp(async (method) => runEngine(method), 0)
else for (let thread = 0; thread < Number(threads); thread++) port = await startThread(port)
console.info(port)

async function startThread(listenOn: number): Promise<number> {
  const ring = mode === 'messages' ? undefined : makeRing()
  const data: ThreadData = { port: listenOn, ring, hasView: mode === 'views' }
  const worker = new Worker(fileURLToPath(new URL('./http-thread.ts', import.meta.url)), {
    workerData: data,
  })
  const [listening] = (await once(worker, 'message')) as [number]
  if (ring === undefined) answerMessages(worker as never)
  else answerRing(ring)
  return listening
}
