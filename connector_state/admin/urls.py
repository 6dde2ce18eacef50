"""The URLs of all pages about a connector, beneath admin/connector_state/connector/."""

from connector_state.admin.audit_page import AuditPage
from connector_state.admin.connectors.accepting import AcceptPage, RefusePage
from connector_state.admin.connectors.enabling import DisablePage, EnablePage, LetGoPage
from connector_state.admin.credentials import CredentialsPage, IssuePage, RevokePage, RotatePage
from connector_state.admin.keys.browser import BrowserPage, DeletePage
from connector_state.admin.keys.edit import EditPage, ExpiryPage, NewPage
from connector_state.admin.keys.find import FindPage
from connector_state.admin.keys.transfer import ExportPage, ImportPage, TransferPage
from connector_state.admin.keys.unindexed import TakeInPage, UnindexedPage
from connector_state.admin.keys.value import DownloadPage, KeyDetails, ValuePage
from connector_state.admin.keys.versions import DeletedPage, RestorePage, VersionPage

urlpatterns = [
    AcceptPage.at("accept/", "connector_state_accept"),
    RefusePage.at("refuse/", "connector_state_refuse"),
    AuditPage.at("audit/", "connector_state_audit"),
    CredentialsPage.at("credentials/", "connector_state_credentials"),
    IssuePage.at("credentials/issue/", "connector_state_issue"),
    RotatePage.at("credentials/rotate/", "connector_state_rotate"),
    RevokePage.at("credentials/<int:credential_id>/revoke/", "connector_state_revoke"),
    DisablePage.at("disable/", "connector_state_disable"),
    LetGoPage.at("let-go/", "connector_state_let_go"),
    EnablePage.at("enable/", "connector_state_enable"),
    BrowserPage.at("keys/", "connector_state_keys"),
    FindPage.at("keys/find/", "connector_state_find_keys"),
    NewPage.at("keys/new/", "connector_state_new_key"),
    DeletePage.at("keys/delete/", "connector_state_delete_keys"),
    KeyDetails.at("keys/key/", "connector_state_key"),
    ValuePage.at("keys/key/value/", "connector_state_value"),
    DownloadPage.at("keys/key/download/", "connector_state_download"),
    EditPage.at("keys/key/edit/", "connector_state_edit"),
    ExpiryPage.at("keys/key/expiry/", "connector_state_expiry"),
    VersionPage.at("keys/key/version/", "connector_state_version"),
    RestorePage.at("keys/key/restore/", "connector_state_restore"),
    DeletedPage.at("keys/deleted/", "connector_state_deleted"),
    UnindexedPage.at("keys/unindexed/", "connector_state_unindexed"),
    TakeInPage.at("keys/unindexed/take-in/", "connector_state_take_in"),
    TransferPage.at("transfer/", "connector_state_transfer"),
    ExportPage.at("transfer/export/", "connector_state_export"),
    ImportPage.at("transfer/import/", "connector_state_import"),
]
