import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'
import { withStopSignal } from '../../src/cli/stop-signals.ts'

export default class VolumeScrub extends BaseCommand {
  static override summary = 'Read all that a site stores, and heal what is damaged.'

  static override description =
    'Every object is read and compared with its checksums while the site goes on working, at the pace of ' +
    'storage.scrub.rate. What is damaged is replaced by the bytes of a remote that holds the same ' +
    'version. Ends with 0 when all is sound or healed, else with 1. Ctrl-C stops looking on; the scrub ' +
    'goes on at the site, and does so after a restart.'

  static override examples = [
    '<%= config.bin %> volume scrub',
    '<%= config.bin %> volume scrub --status',
    '<%= config.bin %> volume scrub --stop',
    '<%= config.bin %> volume scrub --json | jq .last.listed',
  ]

  static override flags = {
    status: Flags.boolean({
      summary: 'Say how far it is and what the last one found, and begin nothing.',
      exclusive: ['stop'],
    }),
    stop: Flags.boolean({ summary: 'Stop the one that is running.' }),
    json: Flags.boolean({ summary: "Print the site's document." }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(VolumeScrub)
    const { status, stop, json } = flags
    const { reportScrub, runScrub } = await import('../../src/cli/run-scrub.ts')
    const document = await withClient(flags, (client) => {
      if (status) return client.scrubStatus()
      if (stop) return client.stopScrub()
      return withStopSignal((signal) => runScrub(client, { signal, stream: process.stderr }))
    })
    const exitCode = reportScrub(document, { json })
    if (!stop && exitCode !== 0) this.exit(exitCode)
  }
}
