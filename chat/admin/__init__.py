"""Admin pages: conversations, states in quarantine, and dead letters.

`lists` and `pages` have what these share; each other module has the pages of one thing.
"""

from django.contrib import admin

from chat.admin.conversations import ConversationAdmin
from chat.admin.dead_letters import DeadLetterAdmin
from chat.admin.quarantine.listing import QuarantineAdmin
from chat.models import Conversation, DeadLetter, Quarantine

admin.site.register(Conversation, ConversationAdmin)
admin.site.register(Quarantine, QuarantineAdmin)
admin.site.register(DeadLetter, DeadLetterAdmin)
