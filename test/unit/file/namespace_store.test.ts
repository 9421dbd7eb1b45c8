// The namespace in the embedded store.
import { namespaceStoreContract } from '../../contract/namespace_store.ts';
import { newStore } from '../cluster/support.ts';

namespaceStoreContract('SQLite', newStore);
