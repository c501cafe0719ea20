import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'
import { withStopSignal } from '../../src/cli/stop-signals.ts'

export default class ReplVerify extends BaseCommand {
  static override summary = 'Prove that the other site holds the same, or what differs.'

  static override description =
    'Compares digests of what both sites hold, while both go on being written; what is on its way is ' +
    'no difference. Ends with 0 when they are equal, with 1 when they differ or when it is not known. ' +
    'Ctrl-C stops the comparison.'

  static override examples = [
    '<%= config.bin %> repl verify',
    '<%= config.bin %> repl verify --bucket photos --deep',
    '<%= config.bin %> repl verify --repair',
    '<%= config.bin %> repl verify --deep --repair',
    '<%= config.bin %> repl verify --json | jq .results[].verdict',
  ]

  static override flags = {
    remote: Flags.string({ summary: 'Only with this remote. Default: all.', helpValue: 'NAME' }),
    bucket: Flags.string({ summary: 'Only this bucket.', helpValue: 'BUCKET' }),
    deep: Flags.boolean({
      summary: 'Read the bytes of every object at both sites too.',
      default: false,
    }),
    repair: Flags.boolean({
      summary:
        'Send again what is missing or older there, fetch what is missing or older here; with --deep ' +
        'also replace damaged bytes by those of the other site.',
      default: false,
    }),
    stop: Flags.boolean({
      summary: 'Stop the comparison that is running.',
      exclusive: ['remote', 'bucket', 'deep', 'repair'],
    }),
    json: Flags.boolean({ summary: "Print the site's document." }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplVerify)
    const { remote, bucket, deep, repair, stop, json } = flags
    const { reportVerify, runVerify } = await import('../../src/cli/run-verify.ts')
    const run = await withClient(flags, (client) =>
      stop
        ? client.stopVerify()
        : withStopSignal((signal) =>
            runVerify(client, { order: { remote, bucket, deep, repair }, signal }),
          ),
    )
    const exitCode = reportVerify(run, { json, bucket })
    if (!stop && exitCode !== 0) this.exit(exitCode)
  }
}
