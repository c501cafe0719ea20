import { Flags } from '@oclif/core'
import { ProgressBar } from '../../src/base/progress-bar.ts'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { exitCodes } from '../../src/cli/exit-codes.ts'
import { formatVolumeRebuild } from '../../src/cli/format-volume-rebuild.ts'
import { writeJson, writeNote, writeResult } from '../../src/cli/output.ts'
import { printable } from '../../src/cli/printable.ts'
import { readConfig } from '../../src/cli/read-config.ts'
import { volumeFlags } from '../../src/cli/server-flags.ts'
import { withStopSignal } from '../../src/cli/stop-signals.ts'

export default class VolumeRebuild extends BaseCommand {
  static override summary = 'Build the index of a volume anew, from its log.'

  static override description =
    'The new index is built beside the old one and takes its place when it is complete; the old one is ' +
    'kept beside it. Nothing of the log is changed. What only the index knew begins anew: every ' +
    'remote is served from the beginning of the feed again, and answers for what it has. Damage in what ' +
    'is dead is passed over. Where damage has hit what is needed, that is listed, and nothing is changed ' +
    'unless --skip-damaged says so. No site may be running on the volume. Ctrl-C stops, and leaves the ' +
    'old index where it is.'

  static override examples = [
    '<%= config.bin %> volume rebuild --storage /srv/comio',
    '<%= config.bin %> volume rebuild --config config.yaml --json',
  ]

  static override flags = {
    ...volumeFlags,
    json: Flags.boolean({ summary: 'Print what came of it as JSON.' }),
    'skip-damaged': Flags.boolean({
      summary: 'Go on without what is damaged and nothing in the log replaces.',
    }),
  }

  async run(): Promise<void> {
    const { json, 'skip-damaged': skipDamaged, ...flags } = (await this.parse(VolumeRebuild)).flags
    const { config } = await readConfig(flags)
    const { rebuildVolumeIndex } = await import('../../src/server/offline/volume-rebuild.ts')
    const { RebuildLosesError } = await import('../../src/server/errors.ts')
    const bar = new ProgressBar(process.stderr)
    const onProgress = bar.update.bind(bar)
    const rebuilt = await withStopSignal(
      (signal) => rebuildVolumeIndex(config, { onProgress, signal, skipDamaged }),
      { forcedExitCode: exitCodes.stopped },
    ).finally(() => bar.close())
    if (json) writeJson(rebuilt)
    else writeResult(formatVolumeRebuild(rebuilt))
    if (!rebuilt.in_place) throw new RebuildLosesError(rebuilt.lost_count)
    if (json || rebuilt.old_index_path === null) return
    writeNote(`the old index is kept as ${printable(rebuilt.old_index_path)}; remove it at will`)
  }
}
