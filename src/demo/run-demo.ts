/**
 * The whole main job in one command: two sites as real processes, real files written at A, B killed
 * in the middle and started again, both compared object by object. It knows the sites only over
 * the wire and through `bin/comio`, as any user does, and leaves nothing behind.
 */
import { dirname } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { DemoRun } from './demo-run.ts'
import { keptSitesText } from './kept-sites.ts'
import { Story, verdictLine } from './story.ts'
import { TwoSites } from './two-sites.ts'

export interface DemoOptions {
  /** Leave both sites running afterwards and print how to use and stop them. */
  readonly keep: boolean
  /** A fraction of the files and bytes: for slow disks. */
  readonly quick: boolean
  /** The program to start the sites with: `bin/comio`. */
  readonly binPath: string
  /** The project's own files are uploaded from here; found from `binPath` when absent. */
  readonly projectRoot?: string
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
  /** Abort it on SIGINT, SIGTERM and SIGHUP. */
  readonly signal?: AbortSignal
}

const logLinesQuoted = 8

/**
 * Runs the demonstration; `ok` when both sites are equal in the end, and equal to what was written.
 * @throws DemoFailedError and the clients' errors when it cannot be carried to its end
 */
export async function runDemo(options: DemoOptions): Promise<{ readonly ok: boolean }> {
  const { stdout, stderr, signal } = options
  const story = new Story(stdout, stderr)
  try {
    return await tellWithSites(options, story)
  } catch (error) {
    if (!signal?.aborted) throw error
    stderr.write(`stopped: no process and no folder is left (${messageOf(error)})\n`)
    return { ok: false }
  } finally {
    story.endLive()
  }
}

async function tellWithSites(
  options: DemoOptions,
  story: Story,
): Promise<{ readonly ok: boolean }> {
  const { binPath, keep, quick, signal } = options
  const startedAt = performance.now()
  story.tell('ComIO demo: two sites, real files, and a crash in the middle')
  const sites = await TwoSites.start(binPath, signal)
  let kept = false
  try {
    const projectRoot = options.projectRoot ?? dirname(dirname(binPath))
    const run = new DemoRun({ sites, story, projectRoot, quick, signal })
    const { comparison, lags } = await run.play()
    const seconds = (performance.now() - startedAt) / 1e3
    if (keep) for (const line of keptSitesText(sites, binPath)) story.tell(line)
    else await sites.stopGently()
    for (const example of comparison.examples) story.tell(`  ${example}`)
    story.tell(verdictLine(comparison, { seconds, lags }))
    kept = keep
    return { ok: comparison.differences === 0 }
  } catch (error) {
    if (!signal?.aborted) await quoteLogs(sites, options.stderr)
    throw error
  } finally {
    if (kept) await sites.release()
    else await sites.end()
  }
}

/** The logs go with the folder: their ends are what somebody needs to find out what went wrong. */
async function quoteLogs(sites: TwoSites, stderr: NodeJS.WritableStream): Promise<void> {
  for (const [name, site] of [
    ['A', sites.a],
    ['B', sites.b],
  ] as const) {
    stderr.write(`the end of site ${name}'s log:\n`)
    for (const line of await site.lastWords(logLinesQuoted)) stderr.write(`  ${line}\n`)
  }
}
