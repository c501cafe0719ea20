/** How an HTTP thread asks the engine's thread: the two ways that Node offers. */
import type { MessagePort } from 'node:worker_threads'
import { type Method, objectBytes, runEngine } from './engine-work.ts'

/** Asks the engine for one request; `body` is that of a PUT. */
export type Ask = (method: Method, body: Uint8Array | undefined) => Promise<void>

interface Question {
  readonly id: number
  readonly method: Method
  readonly body: Uint8Array | undefined
}

/** One message for all questions of a turn; bodies are handed over, not copied. */
export function askByMessages(port: MessagePort): Ask {
  const waiting = new Map<number, () => void>()
  let questions: Question[] = []
  let last = 0
  port.on('message', (ids: readonly number[]) => {
    for (const id of ids) {
      waiting.get(id)?.()
      waiting.delete(id)
    }
  })
  const send = (): void => {
    const bodies = questions.flatMap(({ body }) => (body === undefined ? [] : [body.buffer]))
    port.postMessage(questions, bodies as ArrayBuffer[])
    questions = []
  }
  return (method, body) =>
    new Promise((resolve) => {
      if (questions.length === 0) setImmediate(send)
      const id = ++last
      questions.push({ id, method, body })
      waiting.set(id, resolve)
    })
}

export function answerMessages(port: MessagePort): void {
  port.on('message', (questions: readonly Question[]) => {
    for (const { method } of questions) runEngine(method)
    port.postMessage(questions.map(({ id }) => id))
  })
}

/** Memory of both threads: places for questions, taken in turn, and two counters that ring a bell. */
export interface Ring {
  readonly bodies: SharedArrayBuffer
  readonly counters: SharedArrayBuffer
}

const places = 256
const asked = 0
const answered = 1
const methodsAt = 2

export function makeRing(): Ring {
  return {
    bodies: new SharedArrayBuffer(places * objectBytes),
    counters: new SharedArrayBuffer((methodsAt + places) * 4),
  }
}

/** There are never more questions than connections, and those are fewer than places. */
export function askByRing({ bodies, counters }: Ring): Ask {
  const shared = new Uint8Array(bodies)
  const words = new Int32Array(counters)
  const waiting: (() => void)[] = []
  let heard = 0
  let isRinging = false
  const ring = (): void => {
    isRinging = false
    Atomics.notify(words, asked)
  }
  void listen(words, answered, (count) => {
    for (; heard < count; heard++) waiting.shift()?.()
  })
  return (method, body) =>
    new Promise((resolve) => {
      const at = Atomics.load(words, asked)
      if (body !== undefined) shared.set(body, (at % places) * objectBytes)
      words[methodsAt + (at % places)] = method === 'PUT' ? 1 : 0
      waiting.push(resolve)
      Atomics.add(words, asked, 1)
      if (!isRinging) setImmediate(ring)
      isRinging = true
    })
}

export function answerRing({ counters }: Ring): void {
  const words = new Int32Array(counters)
  let done = 0
  void listen(words, asked, (count) => {
    for (; done < count; done++) {
      runEngine(words[methodsAt + (done % places)] === 1 ? 'PUT' : 'GET')
    }
    Atomics.store(words, answered, done)
    Atomics.notify(words, answered)
  })
}

/** Calls back with the counter whenever it has changed. */
async function listen(
  words: Int32Array,
  counter: number,
  hear: (count: number) => void,
): Promise<never> {
  for (let last = 0; ; ) {
    const wait = Atomics.waitAsync(words, counter, last)
    if (wait.async) await wait.value
    last = Atomics.load(words, counter)
    hear(last)
  }
}
