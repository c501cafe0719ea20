/** The volume on a slot device whose power goes: as on any other disk, over what earlier uses left. */
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { makeSlotDevice } from '../../src/device/make-slot-device.ts'
import { SlotDevice } from '../../src/device/slot-device.ts'
import { planLayout } from '../../src/device/slot-layout.ts'
import { LossyBacking } from '../device/lossy-backing.ts'
import { Model, untilPowerLoss, verifyAndGoOn, work } from './crash-workload.ts'
import { segmentBytes, startVolume } from './scenario.ts'

const deviceBytes = 3 * 2 ** 20
const layout = planLayout(
  { name: 'slots', bytes: deviceBytes },
  { deviceId: seededRandom(1).bytes(16), slotBytes: segmentBytes },
)

async function madeImage(): Promise<Buffer> {
  const backing = new LossyBacking(Buffer.alloc(deviceBytes, 0xab))
  const handle = await backing.open()
  await makeSlotDevice(handle, { name: 'slots', layout, size: deviceBytes, ahead: false })
  return backing.bytes
}

async function runUntilPowerLoss(backing: LossyBacking, model: Model): Promise<void> {
  await untilPowerLoss(async () => {
    const { volume } = await startVolume(await SlotDevice.open(backing))
    await work(volume, model)
    await volume.close()
  })
}

describe('Power loss on a slot device', () => {
  it('in the middle of writes of a workload loses nothing that was answered', async () => {
    const image = await madeImage()
    const whole = new LossyBacking(Buffer.from(image))
    await runUntilPowerLoss(whole, new Model())
    const total = whole.operations
    expect(total).toBeGreaterThan(100)
    // Not even the device's own bookkeeping writes less than a block, or across one.
    for (const { position, length } of whole.trace)
      expect([position % 4096, length % 4096]).toEqual([0, 0])
    for (let at = 1; at <= total; at += 2) {
      const backing = new LossyBacking(Buffer.from(image), at)
      const model = new Model()
      backing.powerOffAt = at
      await runUntilPowerLoss(backing, model)
      await verifyAndGoOn(await SlotDevice.open(backing.afterPowerLoss()), model)
    }
  })
})
