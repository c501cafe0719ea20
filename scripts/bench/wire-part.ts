/** Bytes on the wire for the same writes: with a remote that only takes, and with one that ships back. */
import { join } from 'node:path'
import { startCountingProxy } from './counting-proxy.ts'
import { Pair } from './pair.ts'
import { putSteadily } from './put-load.ts'
import { type BenchInputs, type Finding, progress } from './replication-report.ts'

const bar = 1.05
const perSecond = 300

export async function measureWire(inputs: BenchInputs): Promise<readonly Finding[]> {
  const oneWay = await bytesOnTheWire(inputs, false)
  const twoWay = await bytesOnTheWire(inputs, true)
  progress(`wire: one-way ${oneWay}, two-way ${twoWay} bytes`)
  const ratio = twoWay / oneWay
  const count = perSecond * inputs.seconds
  return [
    {
      what: `bytes for ${count} writes of 4 KiB at A, two-way against one-way`,
      figure: `${ratio.toFixed(3)} x ${(oneWay / count).toFixed(0)} a write`,
      bar: `${bar} x`,
      met: ratio <= bar,
    },
  ]
}

async function bytesOnTheWire(inputs: BenchInputs, twoWay: boolean): Promise<number> {
  const toA = await startCountingProxy()
  const toB = await startCountingProxy()
  const pair = await Pair.make({
    folder: join(inputs.folder, twoWay ? 'wire-two-way' : 'wire-one-way'),
    twoWay,
    via: { a: toA.port, b: toB.port },
  })
  toA.target = pair.ports.a
  toB.target = pair.ports.b
  try {
    await pair.start('b', 'a')
    const { connections, seconds } = inputs
    const order = { url: pair.site('a').url, path: '/bench/w-', bytes: 4096, connections }
    await putSteadily({ ...order, perSecond, seconds })
    await pair.settled('a')
    if (twoWay) await pair.settled('b')
    return toA.bytes() + toB.bytes()
  } finally {
    await pair.stop('a', 'b')
    await toA.close()
    await toB.close()
  }
}
