import { Flags } from '@oclif/core'
import { ProgressBar } from '../../src/base/progress-bar.ts'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { readConfig } from '../../src/cli/read-config.ts'
import { volumeFlags } from '../../src/cli/server-flags.ts'
import { withStopSignal } from '../../src/cli/stop-signals.ts'

export default class VolumeVerify extends BaseCommand {
  static override summary = 'Check all of a volume: every byte, and its index.'

  static override description =
    'Reads the whole log and compares every checksum; then every record with the index, and every ' +
    'entry of the index with its record. Changes nothing. No site may be running on the volume. Ends ' +
    'with 0 when it is sound, with 1 when anything is wrong, with 130 when it was stopped by Ctrl-C.'

  static override examples = [
    '<%= config.bin %> volume verify --storage /srv/comio',
    '<%= config.bin %> volume verify --json | jq -r \'.listed[] | select(.key) | .bucket+"/"+.key\'',
  ]

  static override flags = {
    ...volumeFlags,
    json: Flags.boolean({ summary: 'Print what was found as JSON.' }),
  }

  async run(): Promise<void> {
    const { json, ...flags } = (await this.parse(VolumeVerify)).flags
    const { config } = await readConfig(flags)
    const { verifyVolume } = await import('../../src/server/offline/volume-verify.ts')
    const { formatVolumeVerify } = await import('../../src/cli/format-volume-verify.ts')
    const bar = new ProgressBar(process.stderr)
    const onProgress = bar.update.bind(bar)
    const found = await withStopSignal((signal) => verifyVolume(config, { onProgress, signal }), {
      forcedExitCode: exitCodes.stopped,
    }).finally(() => bar.close())
    if (json) writeJson(found)
    else writeResult(formatVolumeVerify(found))
    if (!found.sound) this.exit(exitCodes.failed)
  }
}
