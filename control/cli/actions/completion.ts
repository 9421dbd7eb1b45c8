// Owns `holdfast completion`.
import { completionScript } from '../completion_script.ts';
import type { Session } from '../session.ts';

export async function completion(session: Session, given: { shell: 'bash' | 'zsh' }): Promise<void> {
  const script = completionScript(given.shell);
  if (session.json) session.printJson({ shell: given.shell, script });
  else session.out.write(script);
}
