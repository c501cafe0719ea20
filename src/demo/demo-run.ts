import type { AdminClient } from '../admin/client.ts'
import type { RemoteStatus } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import type { S3Client } from '../s3/client.ts'
import { untilCaughtUp } from './catch-up.ts'
import { type Comparison, compareSites } from './compare-sites.ts'
import { type DemoPlan, planDemo } from './demo-plan.ts'
import { DemoFailedError } from './errors.ts'
import { GeneratedContent } from './generated-content.ts'
import { type LagSamples, lagClasses, probeLag, quickLagClasses, warmUp } from './lag-probe.ts'
import { findProjectFiles } from './project-files.ts'
import { changes, describeLag, lagTable, type Story } from './story.ts'
import { linkOf, type TwoSites } from './two-sites.ts'
import { Writer } from './writer.ts'

export interface DemoRunOptions {
  readonly sites: TwoSites
  readonly story: Story
  readonly projectRoot: string
  /** A fraction of the files and bytes. */
  readonly quick: boolean
  readonly signal: AbortSignal | undefined
}

export interface DemoOutcome {
  readonly comparison: Comparison
  readonly lags: readonly LagSamples[]
}

const concurrency = 8
const lookMs = 250
/** B is killed when this part of the second stage is written. */
const killAfter = 0.4

/** The acts of the demonstration, in order. */
export class DemoRun {
  readonly #options: DemoRunOptions
  readonly #atA: S3Client
  readonly #atB: S3Client
  readonly #adminOfA: AdminClient
  readonly #writer: Writer

  constructor(options: DemoRunOptions) {
    const { sites, signal } = options
    this.#options = options
    this.#atA = sites.s3Client(sites.a, concurrency)
    this.#atB = sites.s3Client(sites.b, concurrency)
    this.#adminOfA = sites.adminClient(sites.a)
    const content = new GeneratedContent()
    this.#writer = new Writer({ client: this.#atA, content, concurrency, signal })
  }

  async play(): Promise<DemoOutcome> {
    this.#introduce()
    const lags = await this.#measureLag()
    await this.#whileWatching(() => this.#writeThroughCrash())
    await this.#waitForB()
    return { comparison: await this.#compare(), lags }
  }

  #introduce(): void {
    const { story, sites } = this.#options
    story.tell(`  site A  ${sites.a.url}  (process ${sites.a.pid})`)
    story.tell(`  site B  ${sites.b.url}  (process ${sites.b.pid})`)
    story.tell()
  }

  async #measureLag(): Promise<readonly LagSamples[]> {
    const { story, signal, quick } = this.#options
    const classes = quick ? quickLagClasses : lagClasses
    story.tell('From an answered PUT at A until the object can be read at B:')
    const probe = {
      ...{ writer: this.#writer, remote: this.#atB, signal },
      onSample: (name: string, ms: number) => story.live(`measuring ${name}: ${ms.toFixed(1)} ms`),
    }
    await warmUp(probe)
    const lags: LagSamples[] = []
    for (const lagClass of classes) lags.push(await probeLag(lagClass, probe))
    for (const line of lagTable(lags)) story.tell(line)
    story.tell()
    return lags
  }

  async #writeThroughCrash(): Promise<void> {
    const { sites, story, projectRoot, signal, quick } = this.#options
    const files = await findProjectFiles(projectRoot)
    const plan = planDemo(files, quick ? 'quick' : 'full')
    story.tell(`Writing at A: ${files.length} files of this project, and generated ones`)
    await this.#writer.writeAll(plan.first)
    await this.#killBWhileWriting(plan)
    await this.#writer.writeAll(plan.third)
    await this.#purge(plan.purgedBucket)
    const { pending_events: waiting } = await linkOf(this.#adminOfA)
    story.tell(`  B is started again; ${changes(waiting)} wait for it, and A goes on writing`)
    await Promise.all([sites.b.start(signal), this.#writer.writeAll(plan.last)])
    const { writes, bytes } = this.#writer
    story.tell(`  ${writes} writes at A are answered, ${formatByteSize(bytes)}`)
  }

  async #killBWhileWriting(plan: DemoPlan): Promise<void> {
    const { sites, story } = this.#options
    const killAt = Math.ceil(plan.second.length * killAfter)
    let killed: Promise<void> | undefined
    await this.#writer.writeAll(plan.second, (done) => {
      if (done < killAt || killed !== undefined) return
      story.tell(`  B is killed (kill -9) after ${this.#writer.writes} writes; A goes on writing`)
      killed = sites.b.kill()
    })
    if (killed === undefined) throw new DemoFailedError('all was written before B was killed')
    await killed
    story.tell('  overwriting, deleting and purging while B is down')
  }

  async #purge(bucket: string): Promise<void> {
    const { count } = await this.#adminOfA.previewPurge(bucket)
    const purged = await this.#adminOfA.purge(bucket)
    if (purged.deleted_count !== count) {
      throw new DemoFailedError(
        `the purge of ${bucket} removed ${purged.deleted_count} objects and had announced ${count}`,
      )
    }
    this.#writer.forgetBucket(bucket)
  }

  async #waitForB(): Promise<void> {
    const { story, signal } = this.#options
    const caughtUp = await untilCaughtUp({
      source: { link: () => linkOf(this.#adminOfA) },
      onStatus: (remote) => story.live(describeLag(remote)),
      signal,
    })
    story.tell(`B has everything up to seq ${caughtUp.head}, checked just now`)
  }

  async #compare(): Promise<Comparison> {
    const { story, signal } = this.#options
    story.tell()
    story.tell('Comparing both sites object by object: key, bytes, ETag, metadata')
    return compareSites({
      ...{ a: this.#atA, b: this.#atB, written: this.#writer.written, concurrency, signal },
      onObject: (done, total) => story.live(`compared ${done} of ${total} objects`),
    })
  }

  /** Shows how far A and B are while `work` runs. */
  async #whileWatching(work: () => Promise<void>): Promise<void> {
    const { story } = this.#options
    let isAsking = false
    let status: RemoteStatus | undefined
    const look = async (): Promise<void> => {
      if (isAsking) return
      isAsking = true
      try {
        status = await linkOf(this.#adminOfA)
      } finally {
        isAsking = false
      }
      const { writes, bytes } = this.#writer
      const written = `${writes} writes, ${formatByteSize(bytes)}`
      story.live(`${written} · ${describeLag(status)}`)
    }
    // What A cannot tell now it tells later: the acts themselves notice when it is gone.
    const timer = setInterval(() => look().catch(() => undefined), lookMs)
    try {
      await work()
    } finally {
      clearInterval(timer)
    }
  }
}
