import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';

import { SessionLock, lock as takeLock, tryLock } from 'holdfast';
import { describe, expect, test } from 'vitest';

import { fieldsOfAge, hour, sessionFields, sessionFileOf } from './helpers/session-file.js';
import { takeAway } from './helpers/taken-away.js';
import { rejectedChannel, withSessionPath } from './helpers/session-lock.js';

describe('every transition', () => {
  test('waits for the lock on the path, for as long as it is told', async () => {
    await withSessionPath(async (file) => {
      await new SessionLock(file).create({ session: 's-1', ttl: hour });
      const held = await takeLock(file);
      const hook = new SessionLock(file, { timeout: 0 });
      for (const form of ['create', 'renew', 'release', 'breakStale'] as const) {
        await expect(hook[form]({ session: 's-1' }), form).rejects.toMatchObject({
          ...{ code: 'ETIMEDOUT', holder: { pid: process.pid } },
        });
        const patient = new SessionLock(file);
        const reason = new Error('no longer wanted');
        const signal = AbortSignal.abort(reason);
        await expect(patient[form]({ session: 's-1', signal }), form).rejects.toBe(reason);
      }
      // Who only looks does not wait.
      expect(await hook.status({ session: 's-1' })).toMatchObject({ reason: 'own' });
      await held.release();
      expect((await hook.release({ session: 's-1' })).changed).toBe(true);
      const free = await tryLock(file);
      expect(free).not.toBeNull();
      await free?.release();
    });
  });

  test('breaks the very file that it judged, and not one that was put there meanwhile', async () => {
    const over = fieldsOfAge(2 * hour, { session_id: '../x' });
    const later = sessionFileOf(fieldsOfAge(2 * hour, sessionFields('s-2')));
    const changes: [string, (file: string) => void][] = [
      [
        'another file',
        (file) => {
          takeAway(file);
          writeFileSync(file, later);
        },
      ],
      ['other contents', (file) => writeFileSync(file, later)],
      ['nothing', (file) => takeAway(file)],
    ];
    for (const [what, change] of changes) {
      await withSessionPath(async (file) => {
        await writeFile(file, sessionFileOf(over));
        // Between the look and the removal its reader is told that the session id is not believed.
        const meddle = (): void => {
          unsubscribe(rejectedChannel, meddle);
          change(file);
        };
        subscribe(rejectedChannel, meddle);
        const { changed, found } = await new SessionLock(file).breakStale();
        expect(changed, what).toBe(false);
        expect(found.record?.session ?? null, what).toBe(what === 'nothing' ? null : 's-2');
        if (what !== 'nothing') expect(await readFile(file, 'utf8'), what).toBe(later);
      });
    }
  });

  test('makes one of two files, when somebody who asks for no lock makes one, too', async () => {
    await withSessionPath(async (file) => {
      for (let round = 0; round < 30; round++) {
        const tool = new SessionLock(file);
        const theirs = sessionFileOf(fieldsOfAge(0, sessionFields('s-2')));
        const [ours, other] = await Promise.allSettled([
          tool.create({ session: 's-1' }),
          writeFile(file, theirs, { flag: 'wx' }),
        ]);
        if (ours.status === 'rejected') throw ours.reason;
        expect(other.status).toBe(ours.value.changed ? 'rejected' : 'fulfilled');
        const session = ours.value.changed ? 's-1' : 's-2';
        expect(await tool.read()).toMatchObject({ session });
        expect((await tool.release({ session })).changed).toBe(true);
      }
    });
  });
});
