import { afterEach } from 'vitest'
import type { Chance } from '../../src/sim/chance.ts'
import { EventQueue } from '../../src/sim/event-queue.ts'

const running = new Set<() => void>()

/** Virtual time that goes on by itself until the end of the test. */
export function runningQueue(chance: Chance): EventQueue {
  const queue = new EventQueue(chance)
  let isOver = false
  const turn = (): void => {
    if (isOver) return
    queue.runNext()
    setImmediate(turn)
  }
  running.add(() => {
    isOver = true
  })
  setImmediate(turn)
  return queue
}

afterEach(() => {
  for (const stop of running) stop()
  running.clear()
})
