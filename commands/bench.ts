import { Flags } from '@oclif/core'
import { parseByteSize } from '../src/base/byte-size.ts'
import { ProgressBar } from '../src/base/progress-bar.ts'
import { BaseCommand } from '../src/cli/base-command.ts'
import { CommandFailedError, UsageError } from '../src/cli/errors.ts'
import { writeJson, writeResult } from '../src/cli/output.ts'
import { siteAccess, siteFlags } from '../src/cli/site-flags.ts'
import { withStopSignal } from '../src/cli/stop-signals.ts'

export default class Bench extends BaseCommand {
  static override summary = 'Measure a running site: put, get with verification, delete.'

  static override description =
    'Speaks S3 over the wire, as any client does. Every object that comes back is compared by hash ' +
    'with what was sent. It makes a bucket of its own and removes it. Exit code 1 if any request ' +
    'failed or any byte differed.'

  static override examples = [
    '<%= config.bin %> bench --files 1000 --size 1M',
    '<%= config.bin %> bench --files 20000 --size 4K --concurrency 64 --json',
    '<%= config.bin %> bench --url http://site-a:8080 --token-file ./token',
  ]

  static override flags = {
    files: Flags.integer({ summary: 'Objects.', default: 1000, min: 1, max: 10_000_000 }),
    size: Flags.string({ summary: 'Size of each.', default: '1M', helpValue: 'SIZE' }),
    concurrency: Flags.integer({ summary: 'Requests at a time.', default: 16, min: 1, max: 1024 }),
    bucket: Flags.string({ summary: 'An empty or new bucket, in place of its own.' }),
    json: Flags.boolean({ summary: 'Print the report as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Bench)
    const sizeBytes = parseByteSize(flags.size)
    if (sizeBytes === undefined) throw new UsageError('--size must be a size such as 4K or 1M')
    const { url, token, tls } = await siteAccess(flags)
    const { runBench } = await import('../src/bench/run-bench.ts')
    const { formatBenchReport } = await import('../src/bench/format-report.ts')
    const { barOf } = await import('../src/bench/bench-bar.ts')
    const { files, concurrency, bucket } = flags
    const bar = new ProgressBar(process.stderr)
    const report = await withStopSignal((signal) =>
      runBench({
        ...{ url, tls, files, sizeBytes, concurrency, signal },
        ...(token === undefined ? {} : { token }),
        ...(bucket === undefined ? {} : { bucket }),
        onProgress: (progress) => bar.update(barOf(progress)),
      }),
    ).finally(() => bar.close())
    if (flags.json) writeJson(report)
    else writeResult(formatBenchReport(report))
    if (!report.ok) throw new CommandFailedError('the run was not clean: see the report')
  }
}
