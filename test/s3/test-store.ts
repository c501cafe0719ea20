import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { openEngine } from '../../src/store/engine.ts'
import type { ObjectStore } from '../../src/store/model/object-store.ts'
import { Volume } from '../../src/volume/volume.ts'

export interface TestStore {
  readonly store: ObjectStore
  /** Closes it and removes its folder. */
  close(): Promise<void>
}

/** The real store, on a folder of its own. */
export async function openTestStore({ capacityBytes = 512 * 2 ** 20 } = {}): Promise<TestStore> {
  const folder = await mkdtemp(join(tmpdir(), 'comio-s3-'))
  const shared = { clock: systemClock, random: systemRandom, logger: silentLogger }
  const device = await DirectoryDevice.open(join(folder, 'volume'))
  const volume = await Volume.open({
    ...shared,
    device,
    format: { segmentBytes: 8 * 2 ** 20, siteId: 'test' },
    capacityBytes,
  })
  const engine = await openEngine({
    ...shared,
    volume,
    openIndex: () => LevelIndex.open({ path: join(folder, 'index') }),
    maxClockSkewMs: 300_000,
  })
  return {
    store: engine,
    async close() {
      await engine.close()
      await volume.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
